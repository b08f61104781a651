"""Feature networks whose weights the user supplies: VGG16 for perceptual similarity, I3D for FVD."""

from __future__ import annotations

import os
import pickle

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.training.torch_files import load_torch
from flowsuite.video.metrics.frechet import frechet_distance

# Behind the ReLU of conv1_2, conv2_2, conv3_3, conv4_3 and conv5_3 in torchvision's `vgg16().features`.
VGG_TAPS = (3, 8, 15, 22, 29)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
I3D_SIZE = 224


def load_torchscript(path: str, what: str) -> nn.Module:
    """A TorchScript module in eval mode, on the CPU. TorchScript is a program: load only files that you trust.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is not TorchScript.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no network at {path}: {what} needs your own, none is shipped")
    try:
        return torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise ValueError(f"{path}: not a TorchScript module for {what} ({reason})") from None


class VGGFeatures(nn.Module):
    """uint8 (N, 1 or 3, H, W) to the five feature maps of VGG16 behind conv1_2, 2_2, 3_3, 4_3 and 5_3.

    Args:
        state_dict: weights by torchvision's names, as in `vgg16-*.pth`.
    """

    def __init__(self, state_dict: dict[str, Tensor]):
        super().__init__()
        from torchvision.models import vgg16

        network = vgg16(weights=None, init_weights=False)
        wanted = {name: value for name, value in state_dict.items() if name.startswith("features.")}
        network.features.load_state_dict({name.removeprefix("features."): value for name, value in wanted.items()})
        self.layers = network.features[: VGG_TAPS[-1] + 1].eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = (x.expand(-1, 3, -1, -1).float() / 255 - self.mean) / self.std
        maps = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in VGG_TAPS:
                maps.append(x)
        return maps


def load_vgg(path: str) -> nn.Module:
    """TorchScript from uint8 (N, 3, H, W) to a list of maps, or weights of torchvision's VGG16, read as plain data."""
    try:
        return load_torchscript(path, "VGG similarity")
    except ValueError as error:
        wrong = f"{error}, nor weights of torchvision's vgg16"
    try:
        return VGGFeatures(load_torch(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, TypeError, AttributeError, ValueError):
        raise ValueError(wrong) from None


@torch.no_grad()
def vgg_features(network: nn.Module, frames: Tensor, batch: int = 64) -> list[Tensor]:
    """Feature maps of (N, C, H, W) uint8 frames, of unit length along channels: a list of (N, F, H', W')."""
    pieces = []
    for part in frames.split(batch):
        maps = network(part.expand(-1, 3, -1, -1))
        if not isinstance(maps, (list, tuple)) or not all(m.ndim == 4 and len(m) == len(part) for m in maps):
            raise ValueError("expected a network that gives a list of feature maps (N, F, H, W) of N frames")
        pieces.append([F.normalize(m.float(), dim=1) for m in maps])
    return [torch.cat(maps) for maps in zip(*pieces, strict=True)]


def cosine_similarity(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """`mean_l mean_hw <f_l, g_l>` of unit feature maps: (N,), at most 1.

    It is taken as `1 - |f - g|^2 / 2`, which is 1 also where both are zero.
    """
    pairs = zip(first, second, strict=True)
    return torch.stack([1 - (f - g).square().sum(1).mean((-2, -1)) / 2 for f, g in pairs]).mean(0)


def vgg_cosine(network: nn.Module, truth: Tensor, frames: Tensor) -> Tensor:
    """Perceptual similarity, the convention of SAVP (arXiv 1804.01523): (..., C, H, W) uint8 -> (...).

    The leading axes broadcast.
    """
    shape = torch.broadcast_shapes(truth.shape, frames.shape)
    truth, frames = (x.expand(shape).flatten(0, -4) for x in (truth, frames))
    similarity = [
        cosine_similarity(vgg_features(network, x), vgg_features(network, y))
        for x, y in zip(truth.split(64), frames.split(64), strict=True)
    ]
    return torch.cat(similarity).view(shape[:-3])


def load_i3d(path: str) -> nn.Module:
    """I3D (Kinetics-400, RGB) as TorchScript: float (B, 3, T, 224, 224) in [-1, 1] to logits (B, 400[, T'])."""
    return load_torchscript(path, "FVD")


@torch.no_grad()
def i3d_logits(network: nn.Module, videos: Tensor, batch: int = 8) -> Tensor:
    """Logits averaged over time, of (B, T, C, H, W) uint8 videos: (B, 400)."""
    rows = []
    for part in videos.split(batch):
        frames = part.expand(-1, -1, 3, -1, -1).flatten(0, 1).float()
        frames = F.interpolate(frames, (I3D_SIZE, I3D_SIZE), mode="bilinear", align_corners=False)
        clips = (frames / 127.5 - 1).unflatten(0, part.shape[:2]).transpose(1, 2)
        logits = network(clips)
        if not isinstance(logits, Tensor) or logits.ndim not in (2, 3) or len(logits) != len(part):
            raise ValueError("expected a network that gives logits (B, 400) or (B, 400, T) of B videos")
        rows.append(logits.mean(2) if logits.ndim == 3 else logits)
    return torch.cat(rows)


def frechet_video_distance(network: nn.Module, real: Tensor, generated: Tensor) -> float:
    """FVD (arXiv 1812.01717) of (B, T, C, H, W) uint8 videos. It depends on how many there are (256 in papers), on the
    context, and on the weights: compare like with like."""
    return frechet_distance(i3d_logits(network, real), i3d_logits(network, generated))

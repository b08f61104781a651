"""Videos made worse, little by little."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def noise(videos: Tensor, strength: float) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return rounded(videos + 60 * strength * torch.randn(videos.shape, generator=generator))


def blur(videos: Tensor, strength: float) -> Tensor:
    offsets = torch.arange(-6, 7).float()
    window = torch.softmax(-offsets.square() / (2 * (0.1 + 3 * strength) ** 2), 0)
    flat = F.pad(videos.float().flatten(0, 2)[:, None], (6,) * 4, mode="replicate")
    flat = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return rounded(flat.view(videos.shape))


def contrast(videos: Tensor, strength: float) -> Tensor:
    return rounded(videos * (1 - 0.8 * strength))


def ghost(videos: Tensor, strength: float) -> Tensor:
    """Each frame mixed with the frame before, as of a model that averages over what may happen."""
    before = torch.cat([videos[:, :1], videos[:, :-1]], 1)
    return rounded((1 - 0.6 * strength) * videos + 0.6 * strength * before)


def frozen(videos: Tensor, strength: float) -> Tensor:
    """The last frames stand still."""
    last = max(1, round(videos.shape[1] * (1 - strength)))
    return torch.cat([videos[:, :last], videos[:, last - 1 : last].expand(-1, videos.shape[1] - last, -1, -1, -1)], 1)


def hidden(videos: Tensor, strength: float) -> Tensor:
    """A growing black box in the middle."""
    side = videos.shape[-1]
    half = round(side * 0.35 * strength)
    videos = videos.clone()
    videos[..., side // 2 - half : side // 2 + half, side // 2 - half : side // 2 + half] = 0
    return videos


def rounded(videos: Tensor) -> Tensor:
    return videos.round().clamp(0, 255).to(torch.uint8)


CORRUPTIONS = {f.__name__: f for f in (noise, blur, contrast, ghost, frozen, hidden)}
STRENGTHS = (0.1, 0.25, 0.5, 0.75, 1.0)

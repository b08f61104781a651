"""Feature networks for FID, from files that the user supplies."""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.training.files import reading
from flowsuite.core.training.torch_files import load_torch


class InceptionFeatures(nn.Module):
    """uint8 (N, 3, H, W) to the 2,048 features of the last pooling of torchvision's Inception-v3.

    Published FIDs use other weights of this network (ported from TensorFlow): compare only figures with the same file.

    Args:
        state_dict: weights by torchvision's names, as in `inception_v3_google-*.pth`.
    """

    def __init__(self, state_dict: dict[str, Tensor]):
        super().__init__()
        from torchvision.models import inception_v3

        auxiliary = any(name.startswith("AuxLogits.") for name in state_dict)
        network = inception_v3(weights=None, init_weights=False, aux_logits=auxiliary)
        network.load_state_dict(state_dict)
        network.fc = nn.Identity()
        self.network = network.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x.float(), size=(299, 299), mode="bilinear", antialias=True)
        return self.network(x / 127.5 - 1)


class ThreeChannels(nn.Module):
    """Repeats a grey channel for a feature network that wants colour."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x)


def load_feature_network(path: str) -> nn.Module:
    """A feature network from a file: a TorchScript module from uint8 (N, 3, H, W) to (N, F), or a `state_dict` of
    torchvision's Inception-v3.

    A state_dict is read as plain data. TorchScript is a program: load only files that you trust.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"no feature network at {path}: FID needs your own, TorchScript or weights of torchvision's inception_v3"
        )
    try:
        return torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError):
        pass
    with reading(path, "feature network: neither TorchScript nor a state_dict of torchvision's inception_v3"):
        return InceptionFeatures(load_torch(path))

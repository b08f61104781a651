"""Augmentations of whole batches of integer images; every image gets its own random draw."""

from __future__ import annotations

import torch
from torch import Tensor


def random_flip(x: Tensor) -> Tensor:
    """Mirrors each image left to right with probability 1/2: (B, C, H, W)."""
    flips = torch.rand(x.shape[0], 1, 1, 1, device=x.device) < 0.5
    return torch.where(flips, x.flip(-1), x)


def random_shift(x: Tensor, fraction: float = 0.1) -> Tensor:
    """Shifts each image by up to `fraction` of its size on either axis, the border repeated (Glow's CIFAR-10 runs).

    Shifts are whole pixels, so that integers stay integers: uniform in [-fraction, fraction] times the size, rounded.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"the shift must be a fraction of the image in [0, 1), got {fraction}")
    batch, _, height, width = x.shape
    dy, dx = (
        ((2 * torch.rand(batch, 1, device=x.device) - 1) * fraction * size).round().long() for size in (height, width)
    )
    rows = (torch.arange(height, device=x.device) + dy).clamp(0, height - 1)
    columns = (torch.arange(width, device=x.device) + dx).clamp(0, width - 1)
    each = torch.arange(batch, device=x.device)
    gathered = x.movedim(1, -1)[each[:, None, None], rows[:, :, None], columns[:, None, :]]
    return gathered.movedim(-1, 1)

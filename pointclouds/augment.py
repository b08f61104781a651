"""Augmentations of whole batches of clouds (B, N, 3); every cloud gets its own random draw."""

from __future__ import annotations

import torch
from torch import Tensor


def rotate_about_y(points: Tensor, angles: Tensor) -> Tensor:
    """Rotates clouds (B, N, 3) about axis 1, which is up, by `angles` (B,) in radians.

    Rows multiply R = [[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]].
    """
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    x, y, z = points.unbind(dim=-1)
    return torch.stack((x * cos + z * sin, y, z * cos - x * sin), dim=-1)


def random_rotation(points: Tensor) -> Tensor:
    """A rotation about axis 1 by an angle uniform in [0, 2 pi) for each cloud."""
    angles = 2 * torch.pi * torch.rand(points.shape[0], dtype=points.dtype, device=points.device)
    return rotate_about_y(points, angles)


def jitter(points: Tensor, std: float) -> Tensor:
    """Adds independent normal noise of standard deviation `std` to every coordinate."""
    return points + std * torch.randn_like(points)

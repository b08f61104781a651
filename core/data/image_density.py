"""A picture as a density in the plane: the darker, the denser."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.pictures import open_image

SIDE = 8.0  # the picture covers [-4, 4] x [-4, 4]


class ImageDensity:
    """A grey picture whose pixels are drawn in proportion to `brightest - value`, uniformly within each pixel.

    The density is therefore constant in a pixel and known exactly. The picture is stretched over [-4, 4]^2, its top
    row at x_2 = 4.

    Args:
        path: an image file; colours are turned to grey.
    """

    def __init__(self, path: str | Path):
        grey = np.asarray(open_image(path, channels=1)).astype(np.int64)
        ink = torch.from_numpy(grey.max() - grey).flip(0)
        if not ink.any():
            raise ValueError(f"{path}: every pixel has the same value, expected a picture with dark parts")
        self.shape = tuple(ink.shape)
        self.cumulative = ink.flatten().cumsum(0)
        self.log_weight = (ink / ink.sum(dtype=torch.float64)).log()

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, 2) float32."""
        height, width = self.shape
        total = int(self.cumulative[-1])
        pixel = torch.searchsorted(self.cumulative, torch.randint(total, (n,), generator=generator), right=True)
        corner = torch.stack([pixel % width, pixel // width], -1)
        place = (corner + torch.rand((n, 2), generator=generator, dtype=torch.float64)) / torch.tensor([width, height])
        return (SIDE * (place - 0.5)).float()

    def log_density(self, x: Tensor) -> Tensor:
        """Log-density in nats at points (N, 2), in float64; -inf where the picture is brightest and outside it."""
        if x.ndim != 2 or x.shape[1] != 2:
            raise ValueError(f"expected points of shape (N, 2), got {tuple(x.shape)}")
        height, width = self.shape
        place = (x.cpu().double() / SIDE + 0.5) * torch.tensor([width, height])
        column, row = place.floor().long().unbind(-1)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        weight = self.log_weight[row.clamp(0, height - 1), column.clamp(0, width - 1)]
        return torch.where(inside, weight + math.log(height * width / SIDE**2), -math.inf)

"""Densities that are hard in a known way: samples, normaliser and moments in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowsuite.core.targets.target import Target


def log_normal(x: Tensor, log_std: Tensor | float = 0.0) -> Tensor:
    """`log N(x; 0, exp(log_std)^2)`, elementwise."""
    scale = log_std.exp() if isinstance(log_std, Tensor) else math.exp(log_std)
    return -0.5 * (x / scale).square() - log_std - 0.5 * math.log(2 * math.pi)


class Funnel(Target):
    """Neal's funnel (Neal 2003, Slice sampling, section 8): `v ~ N(0, std^2)`, `x_i | v ~ N(0, exp(v))`; normalised.

    Args:
        dims: D, v = z[:, 0] and D - 1 others; published 10.
        std: of v; published 3.
    """

    def __init__(self, dims: int = 10, std: float = 3.0):
        super().__init__()
        if dims < 2 or std <= 0:
            raise ValueError(f"a funnel needs dims >= 2 and std > 0, got {dims} and {std}")
        self.dims, self.std = dims, std
        if dims == 2:
            self.window = (-12.0, 12.0, -12.0, 12.0)

    def log_density(self, z):
        v, x = z[:, :1], z[:, 1:]
        # x / exp(v / 2) as x^2 exp(-v): at v = -200 the scale itself would underflow in float32
        log_x = -0.5 * x.square() * torch.exp(-v) - 0.5 * v - 0.5 * math.log(2 * math.pi)
        return log_normal(v, math.log(self.std)).squeeze(1) + log_x.sum(1)

    def log_normalizer(self):
        return 0.0

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(n, self.dims, generator=generator)
        v = self.std * noise[:, :1]
        return torch.cat((v, noise[:, 1:] * torch.exp(v / 2)), 1)


class Banana(Target):
    """A twisted Gaussian (Haario, Saksman, Tamminen 1999): `z1 ~ N(0, std^2)`, `z2 = e - b (z1^2 - std^2)`, the other
    coordinates N(0, 1), `e ~ N(0, 1)`; normalised.

    Args:
        dims: D >= 2.
        curvature: b; published 0.03 (0.1: strongly twisted).
        std: of the first coordinate; published 10.
    """

    def __init__(self, dims: int = 2, curvature: float = 0.03, std: float = 10.0):
        super().__init__()
        if dims < 2 or std <= 0:
            raise ValueError(f"a banana needs dims >= 2 and std > 0, got {dims} and {std}")
        self.dims, self.curvature, self.std = dims, curvature, std
        if dims == 2:
            drop = abs(curvature) * std**2
            low, high = (-14 * drop - 6, drop + 6) if curvature >= 0 else (-drop - 6, 14 * drop + 6)
            self.window = self.support = (-4 * std, 4 * std, low, high)

    def log_density(self, z):
        untwisted = z[:, 1] + self.curvature * (z[:, 0].square() - self.std**2)
        rest = log_normal(z[:, 2:]).sum(1)
        return log_normal(z[:, 0], math.log(self.std)) + log_normal(untwisted) + rest

    def log_normalizer(self):
        return 0.0

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        z = torch.randn(n, self.dims, generator=generator)
        first = self.std * z[:, 0]
        second = z[:, 1] - self.curvature * (first.square() - self.std**2)
        return torch.cat((torch.stack([first, second], 1), z[:, 2:]), 1)

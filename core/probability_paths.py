"""Probability paths from noise to data, for flow matching (arXiv 2210.02747, 2302.00482, 2209.03003).

Time runs as in that literature: noise at t = 0, data at t = 1. Every path gives a point `x_t` and the velocity `u_t`
whose conditional mean the field is to learn. `flowsuite.core.matching` maps both to the convention of the `CNF`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Path = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]


def linear_path(noise: Tensor, data: Tensor, t: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Independent conditional flow matching, rectified flow: `x_t = t x1 + (1 - t) x0`, `u_t = x1 - x0`."""
    return t * data + (1 - t) * noise, data - noise


def target_path(noise: Tensor, data: Tensor, t: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Lipman's optimal-transport path: `x_t = t x1 + (1 - (1 - sigma) t) x0`, which ends in N(x1, sigma^2).

    `u_t = (x1 - (1 - sigma) x_t) / (1 - (1 - sigma) t)`, which is `x1 - (1 - sigma) x0` without the division.
    """
    return t * data + (1 - (1 - sigma) * t) * noise, data - (1 - sigma) * noise


def trigonometric_path(noise: Tensor, data: Tensor, t: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Variance preserving: `x_t = cos(pi t/2) x0 + sin(pi t/2) x1`, `u_t` its derivative."""
    angle = 0.5 * math.pi * t
    cos, sin = angle.cos(), angle.sin()
    return cos * noise + sin * data, 0.5 * math.pi * (cos * data - sin * noise)


PATHS: dict[str, Path] = {"linear": linear_path, "target": target_path, "trigonometric": trigonometric_path}


@dataclass(frozen=True)
class ProbabilityPath:
    """A path by name, with its width.

    Args:
        name: "linear", "target" or "trigonometric".
        sigma: "target" ends in N(x1, sigma^2); the others have Gaussian noise of this size added to `x_t` at all times.
    """

    name: str = "linear"
    sigma: float = 0.0

    def __post_init__(self):
        if self.name not in PATHS:
            raise ValueError(f"unknown path {self.name!r}: expected one of {', '.join(PATHS)}")
        if not 0 <= self.sigma < math.inf:
            raise ValueError(f"sigma must be at least 0, got {self.sigma}")

    def __call__(self, noise: Tensor, data: Tensor, t: Tensor, jitter: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`(x_t, u_t)`, of the shape of `data`.

        Args:
            noise, data: the two ends, (B, ...).
            t: (B,), in [0, 1].
            jitter: standard normal, of the shape of `data`; drawn if None and needed.
        """
        if noise.shape != data.shape or t.shape != data.shape[:1]:
            shapes = f"{tuple(noise.shape)}, {tuple(data.shape)} and {tuple(t.shape)}"
            raise ValueError(f"expected noise and data of one shape (B, ...) and times (B,), got {shapes}")
        x, u = PATHS[self.name](noise, data, t.view(-1, *[1] * (data.ndim - 1)), self.sigma)
        if self.sigma and self.name != "target":
            x = x + self.sigma * (torch.randn_like(x) if jitter is None else jitter)
        return x, u

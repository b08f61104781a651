"""Integrals over the plane: normalisers and divergences of two-dimensional densities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]
STEP = 0.02  # of the grid: below a tenth of the narrowest scale of U1..U4, and the rule converges exponentially
CHUNK = 65_536  # points at a time


class Divergences(NamedTuple):
    """Nats, of the two densities restricted to the window; `mass` is the share of q that lies in it."""

    reverse_kl: float
    forward_kl: float
    log_normalizer: float
    mass: float


def grid(bounds: Sequence[float], step: float = STEP, device: torch.device | str = "cpu") -> tuple[Tensor, float]:
    """Midpoints (N, 2) float64 of squares of about `step` that fill the window, and the area of one."""
    left, right, bottom, top = bounds
    if not (left < right and bottom < top and all(map(math.isfinite, bounds)) and step > 0):
        raise ValueError(f"expected bounds (left, right, bottom, top) in ascending pairs, got {tuple(bounds)}")
    sides = [(low, high, math.ceil((high - low) / step)) for low, high in ((left, right), (bottom, top))]
    axes = [
        low + (high - low) / n * (torch.arange(n, dtype=torch.float64, device=device) + 0.5) for low, high, n in sides
    ]
    area = math.prod((high - low) / n for low, high, n in sides)
    return torch.cartesian_prod(*axes), area


@torch.no_grad()
def evaluate(log_density: LogDensity, points: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """The log-density at many points, a part at a time, in float64."""
    return torch.cat([log_density(part).double() for part in points.to(dtype).split(CHUNK)])


def log_normalizer(log_density: LogDensity, bounds: Sequence[float], step: float = STEP) -> float:
    """`log of the integral of exp(log_density)` over the window, by the midpoint rule, in nats."""
    points, area = grid(bounds, step)
    return float(torch.logsumexp(evaluate(log_density, points), 0)) + math.log(area)


def divergences(
    log_q: LogDensity,
    log_p: LogDensity,
    bounds: Sequence[float],
    step: float = STEP,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> Divergences:
    """`KL(q || p)` and `KL(p || q)` of a normalised q and an unnormalised p over a window, by the midpoint rule.

    Where log q is not a number, as far from its samples where an inverse overflows, q counts as 0: a mass of 1 says
    that nothing was lost. Where log p is not a number the divergences are none either.

    Args:
        log_q, log_p: from points (N, 2) to log-densities (N,).
        bounds: left, right, bottom, top.
        step: of the grid.
        device, dtype: in which the densities want their points.
    """
    points, area = grid(bounds, step, device)
    q, p = (evaluate(f, points, dtype) + math.log(area) for f in (log_q, log_p))
    q = torch.where(q.isnan(), -math.inf, q)
    log_z, log_mass = torch.logsumexp(p, 0), torch.logsumexp(q, 0)
    p, q = p - log_z, q - log_mass

    def kl(a: Tensor, b: Tensor) -> float:
        return float(torch.where(a.exp() == 0, 0.0, a.exp() * (a - b)).sum())

    return Divergences(kl(q, p), kl(p, q), float(log_z), float(log_mass.exp()))

"""What can be wrong with a density that someone wants fitted, said in one line with figures."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]
NEAR, FAR = 1e2, 1e4  # how many standard deviations out the tails are probed
COLLAPSED = 1e-5  # of the larger of 1 and the mean: a few hundred steps of float32


def describe(point: Tensor) -> str:
    """A point in a few words."""
    shown = ", ".join(f"{v:.4g}" for v in point.detach().tolist()[:4])
    return f"[{shown}{', ...' if len(point) > 4 else ''}]"


def check_values(log_p: Tensor, z: Tensor, when: str) -> None:
    """That values `log_p` of the density at points z are log-densities of them."""
    if not isinstance(log_p, Tensor) or log_p.shape != z.shape[:1]:
        got = tuple(log_p.shape) if isinstance(log_p, Tensor) else type(log_p).__name__
        raise ValueError(f"log_density of points {tuple(z.shape)} must give a tensor of shape ({len(z)},), got {got}")
    if not log_p.is_floating_point():
        raise ValueError(f"log_density must give floating-point numbers, got {log_p.dtype}")
    bad = ~log_p.isfinite()
    if bad.any():
        first = int(bad.nonzero()[0])
        raise ValueError(
            f"log_density is {log_p.detach()[first]:g} at z = {describe(z[first])}, and not finite at "
            f"{int(bad.sum())} of {len(z)} points ({when}): expected a finite number everywhere, walls as steep slopes"
        )


def probe(log_density: LogDensity, z: Tensor, differentiable: bool) -> None:
    """That the density takes points z (N, D), gives (N,) finite numbers and, where asked, a gradient."""
    z = z.detach().requires_grad_(differentiable)
    try:
        log_p = log_density(z)
    except Exception as error:  # whatever a density of someone else's may raise
        reason = (str(error).splitlines() or [""])[0]
        kind = type(error).__name__
        raise ValueError(f"log_density failed on points of shape {tuple(z.shape)}: {kind}: {reason}") from error
    check_values(log_p, z, "before the first step")
    if differentiable and not log_p.requires_grad:
        raise ValueError(
            "log_density gives no gradient: compute it from z by torch operations, or take estimator='forward'"
        )


@torch.no_grad()
def flat_directions(log_density: LogDensity, z: Tensor) -> list[tuple[int, float]]:
    """Coordinates along which the density has no integral, with the nats that it falls from 1e2 to 1e4 deviations out.

    Along a line a density needs to fall faster than 1 / distance, by log 100 = 4.6 nats here. The median over the given
    points z (N, D), each moved out along one coordinate both ways, is compared with that; what cannot be evaluated so
    far out is taken to vanish there.
    """
    mean, std = z.mean(0), z.std(0, correction=0)
    found = []
    for i in range(z.shape[1]):
        falls = []
        for sign in (-1, 1):
            values = []
            for distance in (NEAR, FAR):
                moved = z.clone()
                moved[:, i] = mean[i] + sign * distance * (std[i] + (z[:, i] - mean[i]).abs())
                values.append(log_density(moved).double())
            fall = values[0] - values[1]
            # NaN: one of them is, or both are -inf
            falls.append(float(torch.where(fall.isnan(), math.inf, fall).median()))
        if min(falls) < math.log(FAR / NEAR):
            found.append((i, min(falls)))
    return found


def tail_warning(flat: list[tuple[int, float]]) -> str:
    i, fall = flat[0]
    others = f" and {len(flat) - 1} more coordinates" if len(flat) > 1 else ""
    return (
        f"the density seems improper along z[{i}]{others}: from {NEAR:g} to {FAR:g} standard deviations out it falls "
        f"by {fall:.3g} nats, and an integral needs more than {math.log(FAR / NEAR):.3g}; samples will run away"
    )


def spread_warning(spreads: list[tuple[int, float]]) -> str | None:
    """From (step, root mean square of the samples about their mean) at three times: whether it keeps on growing."""
    (_, a), (_, b), (_, c) = spreads
    if not (b > 1.15 * a and c > 1.15 * b):
        return None
    grown = ", ".join(f"{value:.3g} at step {step}" for step, value in spreads)
    return f"the samples drift outwards without end: spread {grown}; the density is improper, or the fit far from over"


def collapse_warning(z: Tensor) -> str | None:
    """Whether samples z (N, D) are all but one point in some coordinate."""
    mean, std = z.mean(0), z.std(0, correction=0)
    small = std < COLLAPSED * mean.abs().clamp_min(1)
    if not small.any():
        return None
    i = int(small.nonzero()[0])
    return (
        f"the posterior has collapsed to a point in {int(small.sum())} of {len(std)} coordinates: z[{i}] has mean "
        f"{float(mean[i]):.4g} and standard deviation {float(std[i]):.2g}; the density is unbounded or badly scaled"
    )

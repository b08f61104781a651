"""What can be wrong with a density that someone wants fitted, said in one line with figures."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]
NEAR, FAR = 1e2, 1e4  # how many standard deviations out the tails are probed
SLANTED = 0.999  # largest part of a unit vector that is not a coordinate's own
STEADY = 1.15  # growth from a quarter of a fit to the next that does not look like its end
SHRUNK = 1.3  # likewise of the narrowest coordinate, whose logarithm moves with the learning rate
FEWEST = 25  # samples from which a spread is judged
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


def flat_directions(log_density: LogDensity, z: Tensor, differentiable: bool = True) -> list[tuple[Tensor, float]]:
    """Directions (D,) in which the density has no integral, with the nats that it falls from 1e2 to 1e4 deviations out.

    Along a line a density needs to fall faster than 1 / distance, by log 100 = 4.6 nats here. The median over the given
    points z (N, D), each moved out both ways along a coordinate, is compared with that; what cannot be evaluated so
    far out is taken to vanish there. The direction in which the density changes least near these points, the last
    eigenvector of `E[g g^T]` with its gradients g, is tried as well.
    """
    lines = list(torch.eye(z.shape[1], dtype=z.dtype, device=z.device))
    if differentiable and z.shape[1] > 1:
        least = least_varying(log_density, z)
        lines += [least] if least.abs().max() < SLANTED else []
    falls = [(line, fall_along(log_density, z, line)) for line in lines]
    return [(line, fall) for line, fall in falls if fall < math.log(FAR / NEAR)]


def least_varying(log_density: LogDensity, z: Tensor) -> Tensor:
    """The unit vector (D,) along which the gradients at z are least."""
    z = z.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(z).sum(), z)
    gradient = gradient.nan_to_num(0.0, 0.0, 0.0).double()
    return torch.linalg.eigh(gradient.T @ gradient).eigenvectors[:, 0].to(z.dtype)


@torch.no_grad()
def fall_along(log_density: LogDensity, z: Tensor, line: Tensor) -> float:
    """Nats that the density falls along a line, the lesser of both ways; infinity where it cannot be evaluated."""
    place = z @ line
    mean, std = place.mean(), place.std(correction=0).clamp_min(1)  # a flow may start all but contracted to a point
    falls = []
    for sign in (-1, 1):
        values = []
        for distance in (NEAR, FAR):
            target = mean + sign * distance * (std + (place - mean).abs())
            try:
                values.append(log_density(z + (target - place)[:, None] * line).double())
            except Exception:  # such as torch.distributions, of a scale that has become 0 or infinite
                values.append(torch.full_like(place, math.nan, dtype=torch.double))
        fall = values[0] - values[1]
        # NaN: one of them is, or both are -inf
        falls.append(float(torch.where(fall.isnan(), math.inf, fall).median()))
    return min(falls)


def tail_warning(flat: list[tuple[Tensor, float]]) -> str:
    line, fall = flat[0]
    axis = int(line.abs().argmax())
    where = f"z[{axis}]" if line.abs().max() > SLANTED else f"the direction {describe(line)}"
    others = f" and {len(flat) - 1} more directions" if len(flat) > 1 else ""
    return (
        f"the density seems improper along {where}{others}: from {NEAR:g} to {FAR:g} standard deviations out it falls "
        f"by {fall:.3g} nats, and an integral needs more than {math.log(FAR / NEAR):.3g}; samples will run away"
    )


def spread_warning(spreads: list[tuple[int, float]]) -> str | None:
    """From (step, root mean square of the samples about their mean) at three times: whether it keeps on growing."""
    (_, a), (_, b), (_, c) = spreads
    if not (b > STEADY * a and c > STEADY * b):
        return None
    return (
        f"the samples drift outwards without end: spread {listed(spreads)}; the density is improper, or the fit far "
        "from over"
    )


def shrink_warning(narrowest: list[tuple[int, float]]) -> str | None:
    """Likewise from the smallest standard deviation of a coordinate: whether it keeps on falling."""
    (_, a), (_, b), (_, c) = narrowest
    if not (a > SHRUNK * b and b > SHRUNK * c):
        return None
    return (
        f"the samples draw together without end: standard deviation of the narrowest coordinate {listed(narrowest)}; "
        "the density is unbounded or badly scaled, or the fit far from over"
    )


def listed(figures: list[tuple[int, float]]) -> str:
    return ", ".join(f"{value:.3g} at step {step}" for step, value in figures)


def collapse_warning(z: Tensor) -> str | None:
    """Whether samples z (N, D) are all but one point in some coordinate."""
    if len(z) < FEWEST:
        return None
    mean, std = z.mean(0), z.std(0, correction=0)
    small = std < COLLAPSED * mean.abs().clamp_min(1)
    if not small.any():
        return None
    i = int(small.nonzero()[0])
    return (
        f"the posterior has collapsed to a point in {int(small.sum())} of {len(std)} coordinates: z[{i}] has mean "
        f"{float(mean[i]):.4g} and standard deviation {float(std[i]):.2g}; the density is unbounded or badly scaled"
    )

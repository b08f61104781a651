"""The log-densities of the toy sets, to compare a trained flow with.

8gaussians, checkerboard, circles and rings are closed forms. Moons, swissroll and 2spirals are curves convolved with
noise, `p(x) = integral of w(t) k(x - c(t)) dt`: one smooth integral, by Gauss-Legendre quadrature to about 1e-12.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.data import densities as toys

CHUNK = 4096  # points at a time: with 512 nodes, (CHUNK, 512, 2) float64 is 32 MB


def log_normal(difference: Tensor, std: float) -> Tensor:
    """log N(difference; 0, std^2 I) in the plane, from (..., 2) to (...)."""
    return -difference.square().sum(-1) / (2 * std * std) - math.log(2 * math.pi * std * std)


def log_circles(x: Tensor, radii: tuple[float, ...], std: float) -> Tensor:
    """Circles with Gaussian noise: `N(|x| - r; 0, s^2 I) i0e(|x| r / s^2)`, the angle integrated out."""
    distance, radius = x.norm(dim=-1, keepdim=True), x.new_tensor(radii)
    peak = -(distance - radius).square() / (2 * std * std) - math.log(2 * math.pi * std * std)
    return torch.logsumexp(peak + torch.special.i0e(distance * radius / std**2).log(), -1) - math.log(len(radii))


def _eight_gaussians(x: Tensor) -> Tensor:
    return torch.logsumexp(log_normal(x[:, None] - toys.eight_centres(), toys.EIGHT_STD), -1) - math.log(8)


def _checkerboard(x: Tensor) -> Tensor:
    square = (x / 2).floor()
    black = ((square >= -2) & (square < 2)).all(-1) & (square.sum(-1) % 2 == 0)
    return torch.where(black, -math.log(32), -math.inf).to(x.dtype)


@cache
def quadrature(start: float, end: float, n: int) -> tuple[Tensor, Tensor]:
    """`n` Gauss-Legendre nodes on [start, end] and their weights, which add up to 1: a mean over the interval."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return torch.from_numpy(start + (end - start) * (nodes + 1) / 2), torch.from_numpy(weights / 2)


def _moons(x: Tensor) -> Tensor:
    t, weight = quadrature(0.0, math.pi, 128)
    lower = torch.tensor([[False], [True]])
    curve = toys.moon(t.expand(2, -1), lower).flatten(0, 1)
    return torch.logsumexp(log_normal(x[:, None] - curve, toys.MOON_STD) + (weight / 2).log().repeat(2), -1)


def _swissroll(x: Tensor) -> Tensor:
    t, weight = quadrature(1.5 * math.pi, 4.5 * math.pi, 384)
    return torch.logsumexp(log_normal(x[:, None] - toys.swiss_curve(t), toys.SWISS_STD) + weight.log(), -1)


def smooth_box(x: Tensor, width: float, std: float) -> Tensor:
    """Density of uniform noise on [0, width] plus N(0, std^2): `(Phi(x/s) - Phi((x - width)/s)) / width`.

    It is symmetric about width / 2, and taken on the side where the difference keeps its digits.
    """
    nearest = (width / 2 - (x - width / 2).abs()) * (math.sqrt(0.5) / std)  # negative outside the box
    return (torch.erfc(-nearest) - torch.erfc(width * math.sqrt(0.5) / std - nearest)) / (2 * width)


def log_smooth_box(x: Tensor, width: float, std: float) -> Tensor:
    """Its logarithm, by the asymptotic series of Phi (exact to 1e-9) where the density itself would underflow."""
    far = (((x - width / 2).abs() - width / 2) / std).clamp(min=20)
    series = torch.log1p(-(far**-2) + 3 * far**-4) - far.square() / 2 - (far * math.sqrt(2 * math.pi)).log()
    return torch.where(far > 20, series - math.log(width), smooth_box(x, width, std).log())


def _two_spirals(x: Tensor) -> Tensor:
    t, weight = quadrature(0.0, toys.SPIRAL_TURN, 512)
    weight = weight * t / toys.SPIRAL_TURN  # the angle is 3 pi sqrt(u): twice this; and half for either arm
    curve, weight = toys.spiral_curve(t), weight.repeat(2)

    def difference(point: Tensor) -> Tensor:
        return torch.cat([point[:, None] - curve, -point[:, None] - curve], 1)

    noise = toys.SPIRAL_BOX, toys.SPIRAL_STD
    density = torch.cat([smooth_box(difference(part), *noise).prod(-1) @ weight for part in x.split(CHUNK // 16)])
    log_density = density.log()
    faint = density < 1e-280
    if faint.any():
        terms = log_smooth_box(difference(x[faint]), *noise).sum(-1) + weight.log()
        log_density[faint] = torch.logsumexp(terms, -1)
    return log_density


DENSITIES = {
    "swissroll": _swissroll,
    "circles": lambda x: log_circles(x, toys.CIRCLE_RADII, toys.CIRCLE_STD),
    "rings": lambda x: log_circles(x, toys.RING_RADII, toys.RING_STD),
    "moons": _moons,
    "8gaussians": _eight_gaussians,
    "2spirals": _two_spirals,
    "checkerboard": _checkerboard,
}


def toy_log_density(name: str, x: Tensor) -> Tensor:
    """Log-density in nats of a toy set at points `x` (N, 2), in float64; -inf outside the checkerboard's squares.

    "pinwheel" has no closed form, "line" and "cos" have no density in the plane: for these it raises.
    """
    if toys.check_toy(name) not in DENSITIES:
        raise ValueError(f"the log-density of {name!r} is not known: expected one of {', '.join(DENSITIES)}")
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"expected points of shape (N, 2), got {tuple(x.shape)}")
    density = DENSITIES[name]
    return torch.cat([density(part) for part in x.cpu().double().split(CHUNK)])


def toy_entropy(name: str, n: int = 100_000, seed: int = 0) -> tuple[float, float]:
    """Differential entropy of a toy set in nats, by Monte Carlo over `n` draws, and its standard error.

    It is the lowest negative log-likelihood that any model can have.
    """
    values = -toy_log_density(name, toys.sample_toy(name, n, seed))
    return float(values.mean()), float(values.std() / math.sqrt(n))

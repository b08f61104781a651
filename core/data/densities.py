"""The ten two-dimensional toy densities of FFJORD (arXiv 1810.01367), as independent draws.

The published generators place some points on a fixed grid along the curve and put equally many on each component; here
every point is drawn on its own, from the same density.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

EIGHT_RADIUS, EIGHT_STD = 4 / 1.414, 0.5 / 1.414
RING_RADII, RING_STD = (0.75, 1.5, 2.25, 3.0), 0.08
CIRCLE_RADII, CIRCLE_STD = (1.5, 3.0), 0.24
MOON_STD, SWISS_STD = 0.2, 0.2
SPIRAL_TURN, SPIRAL_BOX, SPIRAL_STD = 3 * math.pi, 0.5 / 3, 0.1


class Draw:
    """Draws of `n` points from one generator."""

    def __init__(self, n: int, generator: torch.Generator | None):
        self.n, self.generator = n, generator

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand((self.n, *shape), generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn((self.n, *shape), generator=self.generator)

    def choice(self, k: int) -> Tensor:
        """Integers 0 .. k - 1."""
        return torch.randint(k, (self.n,), generator=self.generator)


def eight_centres() -> Tensor:
    """(8, 2) centres, 45 degrees apart on a circle."""
    angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
    return EIGHT_RADIUS * torch.stack([angle.cos(), angle.sin()], -1)


def moon(t: Tensor, lower: Tensor) -> Tensor:
    """The two half circles of the moons at angles `t` in [0, pi]; the lower one where `lower`."""
    upper_moon = torch.stack([t.cos(), t.sin()], -1)
    lower_moon = torch.stack([1 - t.cos(), 0.5 - t.sin()], -1)
    return 2 * torch.where(lower[..., None], lower_moon, upper_moon) + t.new_tensor([-1.0, -0.2])


def swiss_curve(t: Tensor) -> Tensor:
    """The spiral of the Swiss roll at angles `t` in [1.5 pi, 4.5 pi]."""
    return t[..., None] * torch.stack([t.cos(), t.sin()], -1) / 5


def spiral_curve(t: Tensor) -> Tensor:
    """One of the two spirals at angles `t` in [0, 3 pi]; the other is its mirror image through the origin."""
    return t[..., None] * torch.stack([-t.cos(), t.sin()], -1) / 3


def around_circles(radii: tuple[float, ...], std: float, draw: Draw) -> Tensor:
    """A circle chosen at random, a point on it, and Gaussian noise."""
    angle = 2 * math.pi * draw.uniform()
    radius = torch.tensor(radii)[draw.choice(len(radii))]
    return radius[:, None] * torch.stack([angle.cos(), angle.sin()], -1) + std * draw.normal(2)


def _swissroll(draw: Draw) -> Tensor:
    return swiss_curve(1.5 * math.pi * (1 + 2 * draw.uniform())) + SWISS_STD * draw.normal(2)


def _circles(draw: Draw) -> Tensor:
    return around_circles(CIRCLE_RADII, CIRCLE_STD, draw)


def _rings(draw: Draw) -> Tensor:
    return around_circles(RING_RADII, RING_STD, draw)


def _moons(draw: Draw) -> Tensor:
    return moon(math.pi * draw.uniform(), draw.choice(2) == 1) + MOON_STD * draw.normal(2)


def _eight_gaussians(draw: Draw) -> Tensor:
    return eight_centres().float()[draw.choice(8)] + EIGHT_STD * draw.normal(2)


def _pinwheel(draw: Draw) -> Tensor:
    arm = draw.normal(2) * torch.tensor([0.3, 0.1]) + torch.tensor([1.0, 0.0])
    angle = 2 * math.pi / 5 * draw.choice(5) + 0.25 * arm[:, 0].exp()
    cos, sin = angle.cos(), angle.sin()
    return 2 * torch.stack([arm[:, 0] * cos + arm[:, 1] * sin, arm[:, 1] * cos - arm[:, 0] * sin], -1)


def _two_spirals(draw: Draw) -> Tensor:
    point = spiral_curve(SPIRAL_TURN * draw.uniform().sqrt()) + SPIRAL_BOX * draw.uniform(2)
    sign = 1 - 2 * draw.choice(2)
    return sign[:, None] * point + SPIRAL_STD * draw.normal(2)


def _checkerboard(draw: Draw) -> Tensor:
    x = 4 * draw.uniform() - 2
    y = draw.uniform() - 2 * draw.choice(2) + x.floor() % 2
    return 2 * torch.stack([x, y], -1)


def _line(draw: Draw) -> Tensor:
    x = 5 * draw.uniform() - 2.5
    return torch.stack([x, x], -1)


def _cos(draw: Draw) -> Tensor:
    x = 5 * draw.uniform() - 2.5
    return torch.stack([x, 2.5 * x.sin()], -1)


SAMPLERS: dict[str, Callable[[Draw], Tensor]] = {
    "swissroll": _swissroll,
    "circles": _circles,
    "rings": _rings,
    "moons": _moons,
    "8gaussians": _eight_gaussians,
    "pinwheel": _pinwheel,
    "2spirals": _two_spirals,
    "checkerboard": _checkerboard,
    "line": _line,
    "cos": _cos,
}
TOYS = tuple(SAMPLERS)


def check_toy(name: str) -> str:
    if name not in SAMPLERS:
        raise ValueError(f"unknown toy density {name!r}: expected one of {', '.join(TOYS)}")
    return name


def sample_toy(name: str, n: int, generator: torch.Generator | int | None = None) -> Tensor:
    """`n` independent points of a toy density.

    "line" and "cos" lie on a curve: they have no density in the plane, and a flow's likelihood of them has no bound.

    Example:
        >>> sample_toy("8gaussians", 1000, generator=0).shape
        torch.Size([1000, 2])

    Args:
        name: one of `TOYS`.
        n: number of points.
        generator: of torch, on the CPU; a number seeds a new one; None takes torch's own.

    Returns:
        (n, 2) float32.
    """
    check_toy(name)
    if n < 0:
        raise ValueError(f"expected a number of points >= 0, got {n}")
    if isinstance(generator, int):
        generator = torch.Generator().manual_seed(generator)
    return SAMPLERS[name](Draw(n, generator))

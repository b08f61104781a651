"""The four two-dimensional energies of "Variational inference with normalizing flows" (arXiv 1505.05770, table 1)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from flowsuite.core.targets.target import Target

ENVELOPES = (None, "quartic", "box")
WINDOW = (-4.0, 4.0, -4.0, 4.0)
HALF, WALL = 4.0, 0.1  # of the box: half its side, and the standard deviation of its walls


def w1(z1: Tensor) -> Tensor:
    return torch.sin(2 * math.pi * z1 / 4)


def w2(z1: Tensor) -> Tensor:
    return 3 * torch.exp(-0.5 * ((z1 - 1) / 0.6).square())


def w3(z1: Tensor) -> Tensor:
    return 3 * torch.sigmoid((z1 - 1) / 0.3)


def well(x: Tensor, scale: float) -> Tensor:
    """`-(x / scale)^2 / 2`."""
    return -0.5 * (x / scale).square()


class Energy(Target):
    """`log p(z) = -U(z) - envelope(z)` on (N, 2).

    U2, U3 and U4 do not depend on how far out z_1 is, so exp(-U) has no integral there. The envelope makes it proper:

    - None: as published; integrals are over the published window [-4, 4]^2;
    - "quartic": `(|z|_4 / (20 s))^4 / 2` with s the scale, as in normflows;
    - "box": walls `(max(|z_i| - 4, 0) / 0.1)^2 / 2` around the published window.

    Args:
        envelope: of these.
        scales: standard deviation of the modes across, the last one that of the quartic envelope.
    """

    dims = 2
    window = WINDOW
    # (left, right, bottom, top) by envelope
    supports: ClassVar[dict[str | None, tuple[float, float, float, float]]] = {
        None: WINDOW,
        "quartic": (-28.0, 28.0, -8.0, 8.0),
        "box": (-5.0, 5.0, -5.0, 5.0),
    }

    def __init__(self, envelope: str | None, scales: tuple[float, ...]):
        super().__init__()
        if envelope not in ENVELOPES:
            raise ValueError(f"envelope must be one of {', '.join(map(repr, ENVELOPES))}, got {envelope!r}")
        if min(scales) <= 0:
            raise ValueError(f"scales must be positive, got {scales}")
        self.envelope, self.scales = envelope, tuple(map(float, scales))
        self.support = self.supports[envelope]

    def extra_repr(self) -> str:
        return f"envelope={self.envelope!r}, scales={self.scales}"

    def energy(self, z: Tensor) -> Tensor:
        """U(z), nats."""
        raise NotImplementedError

    def log_density(self, z):
        log_p = -self.energy(z)
        if self.envelope == "quartic":
            return log_p - 0.5 * (z / (20 * self.scales[-1])).pow(4).sum(1)
        if self.envelope == "box":
            return log_p + well((z.abs() - HALF).clamp_min(0), WALL).sum(1)
        return log_p


class U1(Energy):
    """A ring of radius 2 with two modes; proper as it is:
    `U = ((|z| - 2)/0.4)^2 / 2 - log(exp(-((z1 - 2)/0.6)^2 / 2) + exp(-((z1 + 2)/0.6)^2 / 2))`."""

    supports = dict.fromkeys(ENVELOPES, (-6.0, 6.0, -6.0, 6.0))

    def __init__(self, envelope: str | None = None, scale: float = 0.4):
        super().__init__(envelope, (scale,))

    def energy(self, z):
        # |z| has no gradient at 0; there any will do.
        radius = z.square().sum(1).clamp_min(torch.finfo(z.dtype).tiny).sqrt()
        return -well(radius - 2, self.scales[0]) - torch.logaddexp(well(z[:, 0] - 2, 0.6), well(z[:, 0] + 2, 0.6))


class U2(Energy):
    """A wave: `U = ((z2 - w1)/0.4)^2 / 2`, `w1 = sin(2 pi z1 / 4)`."""

    def __init__(self, envelope: str | None = None, scale: float = 0.4):
        super().__init__(envelope, (scale,))

    def energy(self, z):
        return -well(z[:, 1] - w1(z[:, 0]), self.scales[0])


class U3(Energy):
    """A wave with a gap: `U = -log(exp(-((z2 - w1)/0.35)^2 / 2) + exp(-((z2 - w1 + w2)/0.35)^2 / 2))`,
    `w2 = 3 exp(-((z1 - 1)/0.6)^2 / 2)`."""

    def __init__(self, envelope: str | None = None, scales: tuple[float, float] = (0.35, 0.35)):
        super().__init__(envelope, scales)

    def energy(self, z):
        across = z[:, 1] - w1(z[:, 0])
        return -torch.logaddexp(well(across, self.scales[0]), well(across + w2(z[:, 0]), self.scales[1]))


class U4(Energy):
    """A wave that splits: `U = -log(exp(-((z2 - w1)/0.4)^2 / 2) + exp(-((z2 - w1 + w3)/0.35)^2 / 2))`,
    `w3 = 3 sigmoid((z1 - 1)/0.3)`. normflows takes 0.35 twice."""

    def __init__(self, envelope: str | None = None, scales: tuple[float, float] = (0.4, 0.35)):
        super().__init__(envelope, scales)

    def energy(self, z):
        across = z[:, 1] - w1(z[:, 0])
        return -torch.logaddexp(well(across, self.scales[0]), well(across + w3(z[:, 0]), self.scales[1]))

"""Base densities of a flow. Every one is factorial over an event shape and knows `log_prob` and `sample`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.numerics import at_least_float32, sum_over_event


class Base(nn.Module):
    """A factorial density on events of shape `shape`.

    `log_prob(z) -> (B,)` in nats, `sample(n, temperature, generator) -> (n, *shape)`; `temperature` multiplies the
    standard variate.
    """

    def __init__(self, shape: int | Sequence[int]):
        super().__init__()
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.register_buffer("anchor", torch.zeros(()), persistent=False)  # carries device and dtype

    def extra_repr(self) -> str:
        return f"shape={self.shape}"

    def log_prob(self, z: Tensor) -> Tensor:
        if tuple(z.shape[1:]) != self.shape:
            raise ValueError(f"expected latents of shape (N, {', '.join(map(str, self.shape))}), got {tuple(z.shape)}")
        return sum_over_event(self.elementwise_log_prob(at_least_float32(z)))

    def sample(self, n: int, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        return temperature * self._draw((n, *self.shape), generator)

    def elementwise_log_prob(self, z: Tensor) -> Tensor:
        """Log-density of every entry, in the shape of `z`."""
        raise NotImplementedError

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        raise NotImplementedError


class StandardNormal(Base):
    """N(0, I): `log p(z) = -z^2/2 - log(2 pi)/2`, summed over the event."""

    def elementwise_log_prob(self, z):
        return -0.5 * (z * z + math.log(2 * math.pi))

    def _draw(self, shape, generator):
        return torch.randn(shape, generator=generator, device=self.anchor.device, dtype=self.anchor.dtype)


class StandardLogistic(Base):
    """Logistic(0, 1): `log p(z) = -softplus(z) - softplus(-z)`, summed over the event (NICE, arXiv 1410.8516)."""

    def elementwise_log_prob(self, z):
        return -F.softplus(z) - F.softplus(-z)

    def _draw(self, shape, generator):
        u = torch.rand(shape, generator=generator, device=self.anchor.device, dtype=self.anchor.dtype)
        eps = torch.finfo(u.dtype).tiny
        return torch.log(u.clamp_min(eps)) - torch.log1p(-u)


BASES = {"normal": StandardNormal, "logistic": StandardLogistic}


def make_base(name: str, shape: int | Sequence[int]) -> Base:
    """The base density called `name` ("normal" or "logistic") over events of shape `shape`."""
    if name not in BASES:
        raise ValueError(f"unknown base density {name!r}: expected one of {', '.join(BASES)}")
    return BASES[name](shape)

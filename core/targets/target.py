"""What every target offers."""

from __future__ import annotations

from torch import Tensor, nn

from flowsuite.core.numerics import at_least_float32
from flowsuite.core.variational.quadrature import log_normalizer


class Target(nn.Module):
    """An unnormalised log-density: `target(z)`, (N, D) -> (N,) in nats, float32 or better.

    Data that a target depends on are buffers, so `target.to(device)` works.

    Attributes:
        dims: D.
        window: (left, right, bottom, top) worth a picture, in two dimensions.
        support: the same, holding all the mass that matters, or all that counts where the density is improper.
    """

    dims: int
    window: tuple[float, float, float, float] | None = None
    support: tuple[float, float, float, float] | None = None

    def log_density(self, z: Tensor) -> Tensor:
        """The log-density of points of the right shape."""
        raise NotImplementedError(f"{type(self).__name__} must define log_density(z)")

    def forward(self, z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != self.dims:
            raise ValueError(f"{type(self).__name__} expected points of shape (N, {self.dims}), got {tuple(z.shape)}")
        return self.log_density(at_least_float32(z))

    def log_normalizer(self) -> float | None:
        """`log of the integral of exp(log_density)` in nats; None where it is not known.

        Here: by quadrature over `support` in two dimensions.
        """
        return None if self.support is None else log_normalizer(self, self.support)

"""Flow: a transform and a base density make a model with exact log-likelihood."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.core.distributions import Base
from flowsuite.core.layers.actnorm import data_dependent_init
from flowsuite.core.transform import Transform


class Flow(nn.Module):
    """`log p(x) = log p_base(f(x)) + log|det df/dx|` with `f` an invertible transform.

    Example:
        >>> flow = Flow(Compose([ActNorm(2), Coupling(...)]), StandardNormal(2))
        >>> flow.log_prob(x)            # (N,) nats
        >>> flow.sample(16)             # (16, 2)

    Attributes:
        context_features: size C of the context (N, C) that the model is conditional on; 0 for none. Set by flows that
            take one.
    """

    context_features: int = 0

    def __init__(self, transform: Transform, base: Base):
        super().__init__()
        self.transform = transform
        self.base = base

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-likelihood in nats, shape (N,); a lower bound where the transform is not bijective."""
        z, ladj = self.transform(x, context)
        return self.base.log_prob(z) + ladj

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Data to standard latents, shape (N, *base.shape)."""
        return self.transform(x, context)[0]

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Standard latents to data."""
        return self.transform.generate(z, context)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """`n` draws; `temperature` multiplies the standard latents, `context` holds one row a draw."""
        if n < 1 or not temperature >= 0:
            raise ValueError(f"expected at least 1 sample and a temperature >= 0, got n={n}, temperature={temperature}")
        if context is not None and context.shape[0] != n:
            raise ValueError(f"context must hold one row for each of the {n} samples, got {context.shape[0]}")
        return self.decode(self.base.sample(n, temperature, generator), context)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Data-dependent initialisation (arXiv 1807.03039) from one batch; what is initialised already stays."""
        with data_dependent_init():
            self.transform(x, context)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """`log_prob`: the call that wrappers such as DDP and FSDP intercept."""
        return self.log_prob(x, context)

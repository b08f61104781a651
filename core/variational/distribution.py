"""A posterior flow as a `torch.distributions.Distribution`."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from flowsuite.core.variational.posterior import Posterior


class FlowDistribution(Distribution):
    """`sample`, `rsample` and `log_prob` of a `Posterior`, with the shapes of torch.distributions.

    Example:
        >>> q = FlowDistribution(Posterior(2, "radial"))
        >>> z = q.rsample((16,))                                    # (16, 2)
        >>> q.log_prob(z)                                           # (16,)
        >>> TransformedDistribution(q, [ExpTransform()])            # and the rest of torch.distributions

    Args:
        flow: the posterior.
        context: (B, C) for an amortised one, which makes B the batch shape.
        validate_args: as in torch.distributions.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, flow: Posterior, context: Tensor | None = None, validate_args: bool | None = None):
        if (context is None) == bool(flow.context_features):
            wanted = f"(N, {flow.context_features})" if flow.context_features else "none"
            raise ValueError(f"expected a context of shape {wanted}, got {None if context is None else context.shape}")
        self.flow, self.context = flow, context
        batch = torch.Size() if context is None else torch.Size([len(context)])
        super().__init__(batch, torch.Size(flow.base.shape), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        raise NotImplementedError("a flow's batch shape is that of its context: give FlowDistribution another context")

    def rsample(self, sample_shape=()):
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape=()) -> tuple[Tensor, Tensor]:
        """Samples (*S, [B,] D) and their log-density (*S, [B]), which costs nothing more."""
        sample_shape = torch.Size(sample_shape)
        z, log_q = self.flow.rsample_and_log_prob(sample_shape.numel(), self.context)
        return z.view(self._extended_shape(sample_shape)), log_q.view(sample_shape + self.batch_shape)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        value = value.to(self.flow.base.anchor.dtype)
        shape = torch.broadcast_shapes(value.shape, self._extended_shape())
        rows = value.expand(shape).flatten(0, -2) if len(shape) > 1 else value[None]
        context = None if self.context is None else self.context.repeat(len(rows) // len(self.context), 1)
        return self.flow.log_prob(rows, context).view(shape[:-1])

"""The posterior of FFJORD's variational autoencoder: continuous layers whose parameters differ by example."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from flowsuite.core.distributions import StandardNormal
from flowsuite.core.flow import Flow
from flowsuite.core.layers.continuous import CNF
from flowsuite.core.nets.low_rank_field import LowRankField
from flowsuite.core.nets.mlp import check_context
from flowsuite.core.ode import Solver
from flowsuite.core.transform import Compose, Transform


class AmortizedFFJORD(Flow):
    """Amortised low-rank CNFs (FFJORD, arXiv 1810.01367, section 5.4), one after another.

    As the posterior of a variational autoencoder it maps `z_0 ~ q_0(z|x)` to `z_K`:
    `z_K, ladj = flow.transform(z_0, context)`, `log q(z_K|x) = log q_0(z_0|x) - ladj`. The context, emitted by the
    encoder, holds the parameters of the blocks one after another, each as `LowRankField` reads them.

    Published, as (hidden, rank, blocks): MNIST (1024-1024, 64, 2), Omniglot (512-512, 20, 5), Frey faces (512-512, 20,
    2), Caltech silhouettes (2048-2048, 20, 1), all with 64 latent dimensions.

    Args:
        dim: latent dimensions D.
        hidden, rank, layer, activation: see `LowRankField`.
        num_blocks: continuous layers.
        end_time, train_end_time, divergence, eval_divergence, solver, eval_solver: see `CNF`.
    """

    def __init__(
        self,
        dim: int = 64,
        hidden: Sequence[int] = (1024, 1024),
        rank: int = 64,
        num_blocks: int = 2,
        layer: str = "concat",
        activation: str = "softplus",
        end_time: float = 0.5,
        train_end_time: bool = False,
        divergence: str = "auto",
        eval_divergence: str = "auto",
        solver: Solver | None = None,
        eval_solver: Solver | None = None,
    ):
        if num_blocks < 1:
            raise ValueError(f"num_blocks must be at least 1, got {num_blocks}")
        blocks = []
        for i in range(num_blocks):
            field = LowRankField(dim, hidden, rank, layer, activation)
            cnf = CNF(field, end_time, train_end_time, divergence, eval_divergence, solver, eval_solver)
            blocks.append(ContextSlice(cnf, i * field.context_features, num_blocks * field.context_features))
        super().__init__(Compose(blocks), StandardNormal(dim))
        self.context_features = num_blocks * field.context_features


class ContextSlice(Transform):
    """A transform that sees the columns of the context (B, total) from `start` on, as many as its field takes."""

    def __init__(self, transform: CNF, start: int, total: int):
        super().__init__()
        self.transform, self.start, self.total = transform, start, total

    def _part(self, context: Tensor | None) -> Tensor:
        check_context(context, -1 if context is None else context.shape[0], self.total, "AmortizedFFJORD")
        return context[:, self.start : self.start + self.transform.field.context_features]

    def forward(self, x, context=None):
        return self.transform(x, self._part(context))

    def inverse(self, z, context=None):
        return self.transform.inverse(z, self._part(context))

    def generate(self, z, context=None):
        return self.transform.generate(z, self._part(context))

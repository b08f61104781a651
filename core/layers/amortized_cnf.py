"""The continuous layers of variational posteriors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowsuite.core.layers.amortized import AmortizedTransform
from flowsuite.core.layers.continuous import CNF, Solution
from flowsuite.core.nets.low_rank_field import LowRankField
from flowsuite.core.ode import Solver


class AmortizedCNF(AmortizedTransform):
    """K continuous layers, one after another, whose weights every example moves by matrices of low rank.

    `dz/dt = f(t, z; c)` from t = 0 to T with the field of `LowRankField` (FFJORD, arXiv 1810.01367, section 5.4);
    log-det: `int_0^T tr(df/dz) dt`. `forward` is the published direction, noise to sample (see `AmortizedTransform`).
    `flowsuite.core.amortized_ffjord.AmortizedFFJORD` takes the matrices as its context; here they are a linear map of
    the context, as in the published autoencoder, and read once for all samples of a row.

    Args:
        dims: D.
        n_layers: K.
        context_features: size C of a context (B, C); 0 to learn the matrices.
        hidden, rank, layer, activation: see `LowRankField`.
        end_time, train_end_time, divergence, eval_divergence, solver, eval_solver: see `CNF`.

    Parameters: `matrices`, those of all layers in the order of `LowRankField`, started near 0.
    """

    def __init__(
        self,
        dims: int,
        n_layers: int = 1,
        context_features: int = 0,
        hidden: Sequence[int] = (512, 512),
        rank: int = 20,
        layer: str = "concat",
        activation: str = "softplus",
        end_time: float = 0.5,
        train_end_time: bool = False,
        divergence: str = "auto",
        eval_divergence: str = "auto",
        solver: Solver | None = None,
        eval_solver: Solver | None = None,
    ):
        if n_layers < 1:
            raise ValueError(f"n_layers must be at least 1, got {n_layers}")
        fields = [LowRankField(dims, hidden, rank, layer, activation) for _ in range(n_layers)]
        sizes = [field.context_features for field in fields]
        super().__init__(dims, {"matrices": 0.01 * torch.randn(sum(sizes))}, context_features)
        self.sizes = sizes
        self.layers = nn.ModuleList(
            CNF(field, end_time, train_end_time, divergence, eval_divergence, solver, eval_solver) for field in fields
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, n_layers={len(self.layers)}"

    def push(self, z, matrices):
        return self._solve(z, matrices, reverse=False)

    def pull(self, z, matrices):
        return self._solve(z, matrices, reverse=True)

    def _solve(self, z: Tensor, matrices: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
        """Rows of parameters first, as a field wants its conditions: (..., B, D) is solved as (B, ..., D)."""
        shared = len(matrices) == 1
        x = z.unsqueeze(0) if shared else z.movedim(-2, 0)
        total = x.new_zeros(x.shape[:-1])
        steps = list(zip(self.layers, matrices.split(self.sizes, 1), strict=True))
        for layer, own in reversed(steps) if reverse else steps:
            solution: Solution = layer.solve(x, own, reverse)
            x, total = solution.z, total + solution.ladj
        return (x.squeeze(0), total.squeeze(0)) if shared else (x.movedim(0, -2), total.movedim(0, -1))

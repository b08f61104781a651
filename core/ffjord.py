"""FFJORD: a chain of continuous layers for vectors."""

from __future__ import annotations

from collections.abc import Sequence

from flowsuite.core.distributions import StandardNormal
from flowsuite.core.flow import Flow
from flowsuite.core.layers.batchnorm import MovingBatchNorm
from flowsuite.core.layers.continuous import CNF
from flowsuite.core.nets.field_layers import check_end_time
from flowsuite.core.nets.mlp_field import MLPField
from flowsuite.core.ode import Solver
from flowsuite.core.transform import Compose


class FFJORD(Flow):
    """Free-form continuous flow (arXiv 1810.01367): `num_blocks` CNFs, each with its own field and end time.

    With `batch_norm`, a moving batch norm stands before the first block and after every block.

    Args:
        dim: number of features D.
        hidden: widths of the hidden layers of a field.
        num_blocks: continuous layers one after another.
        layer: layer type of the fields, see `flowsuite.core.nets.field_layers.FIELD_LAYERS`; "blend" needs an end time
            of 1 that is not learned.
        activation: see `flowsuite.core.nets.activations.SLOPED_ACTIVATIONS`.
        context_features: size of a context (B, C) that every field is conditioned on; 0 for none.
        time_frequencies: Fourier features of the time; 0 for the bare time.
        residual: fields are `f(t, x) - x`.
        batch_norm: moving batch norms between the blocks.
        end_time, train_end_time, divergence, eval_divergence, solver, eval_solver: see `CNF`.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (64, 64, 64),
        num_blocks: int = 1,
        layer: str = "concatsquash",
        activation: str = "tanh",
        context_features: int = 0,
        time_frequencies: int = 0,
        residual: bool = False,
        batch_norm: bool = False,
        end_time: float = 1.0,
        train_end_time: bool = True,
        divergence: str = "auto",
        eval_divergence: str = "auto",
        solver: Solver | None = None,
        eval_solver: Solver | None = None,
    ):
        if num_blocks < 1:
            raise ValueError(f"num_blocks must be at least 1, got {num_blocks}")
        check_end_time(layer, end_time, train_end_time)
        transforms = [_normalizer(dim)] if batch_norm else []
        for _ in range(num_blocks):
            field = MLPField(dim, hidden, layer, activation, context_features, time_frequencies, residual)
            transforms.append(CNF(field, end_time, train_end_time, divergence, eval_divergence, solver, eval_solver))
            transforms += [_normalizer(dim)] if batch_norm else []
        super().__init__(Compose(transforms), StandardNormal(dim))
        self.context_features = context_features


def _normalizer(dim: int) -> MovingBatchNorm:
    return MovingBatchNorm(dim, affine=True, statistics="running")

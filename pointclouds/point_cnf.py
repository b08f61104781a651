"""The conditional continuous flow of single points."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flowsuite.core.distributions import StandardNormal
from flowsuite.core.layers.continuous import CNF
from flowsuite.core.nets.mlp_field import MLPField
from flowsuite.core.ode import Solver
from flowsuite.core.transform import Compose
from flowsuite.pointclouds.batchnorm import PointBatchNorm


class PointCNF(Compose):
    """Clouds x (B, N, dim) to noise, every point by itself and all moved by the code of their shape (1906.12320).

    `num_blocks` CNFs with, if `batch_norm`, a moving batch norm before the first and after every one. The code (B, C)
    is closed over: what the fields make of it is computed once per solve, and it is no part of the ODE's state.

    Args:
        context_features: size C of the code.
        hidden: widths of the hidden layers of a field.
        num_blocks: CNFs one after another.
        layer, activation: of the fields, see `MLPField`.
        batch_norm: with moving batch norms.
        legacy_batch_norm: see `PointBatchNorm`.
        end_time, train_end_time, divergence, eval_divergence, solver, eval_solver: see `CNF`.
        dim: size of a point.
    """

    def __init__(
        self,
        context_features: int = 128,
        hidden: Sequence[int] = (512, 512, 512),
        num_blocks: int = 1,
        layer: str = "concatsquash",
        activation: str = "tanh",
        batch_norm: bool = True,
        legacy_batch_norm: bool = False,
        end_time: float = 0.5,
        train_end_time: bool = True,
        divergence: str = "auto",
        eval_divergence: str = "auto",
        solver: Solver | None = None,
        eval_solver: Solver | None = None,
        dim: int = 3,
    ):
        if num_blocks < 1:
            raise ValueError(f"num_blocks must be at least 1, got {num_blocks}")
        layers = [PointBatchNorm(dim, legacy_batch_norm)] if batch_norm else []
        for _ in range(num_blocks):
            field = MLPField(dim, hidden, layer, activation, context_features)
            layers.append(CNF(field, end_time, train_end_time, divergence, eval_divergence, solver, eval_solver))
            layers += [PointBatchNorm(dim, legacy_batch_norm)] if batch_norm else []
        super().__init__(layers)
        self.base = StandardNormal(dim)

    @property
    def blocks(self) -> list[CNF]:
        return [layer for layer in self if isinstance(layer, CNF)]

    def points(
        self,
        x: Tensor,
        context: Tensor,
        divergence: str | None = None,
        solver: Solver | None = None,
        probes: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`(y, log|det dy/dx| of every point (B, N))`.

        Args:
            x: (B, N, dim).
            context: (B, C).
            divergence, solver: instead of those of the present mode.
            probes: of a stochastic divergence, one (B, N, dim) for each block.
        """
        total, probes = 0, list(probes or [None] * len(self.blocks))
        for layer in self:
            if isinstance(layer, CNF):
                solution = layer.solve(x, context, divergence=divergence, solver=solver, probe=probes.pop(0))
                x, ladj = solution.z, solution.ladj
            else:
                x, ladj = layer.points(x)
            total = total + ladj
        return x, total

    def log_prob(self, x: Tensor, context: Tensor, **options) -> Tensor:
        """`log p(x_n | z)` of every point in nats, (B, N); `options` are those of `points`."""
        y, ladj = self.points(x, context, **options)
        return self.base.elementwise_log_prob(y).sum(-1) + ladj

    def draw(
        self, batch: int, points: int, generator: torch.Generator | None = None, truncation: float | None = None
    ) -> Tensor:
        """Noise (batch, points, dim), see `draw_normal`."""
        return draw_normal((batch, points, *self.base.shape), self.base.anchor, generator, truncation)


def draw_normal(
    shape: Sequence[int], like: Tensor, generator: torch.Generator | None = None, truncation: float | None = None
) -> Tensor:
    """Standard normal entries; with `truncation` the first of four draws that lies within it, else the first draw."""
    options = {"generator": generator, "device": like.device, "dtype": like.dtype}
    if truncation is None:
        return torch.randn(shape, **options)
    if not truncation > 0:
        raise ValueError(f"truncation must be positive, got {truncation}")
    draws = torch.randn((*shape, 4), **options)
    first = (draws.abs() < truncation).to(torch.uint8).argmax(-1, keepdim=True)
    return draws.gather(-1, first).squeeze(-1)

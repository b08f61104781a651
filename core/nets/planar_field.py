"""The field of the Neural-ODE paper's continuous flow: a sum of planar flows whose parameters move with time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from flowsuite.core.nets.activations import Tanh
from flowsuite.core.nets.affine_map import AffineMap
from flowsuite.core.nets.layered_field import LayeredField
from flowsuite.core.nets.mlp_field import trace_of_one_hidden


class PlanarField(LayeredField):
    """`f(t, x) = 1/K sum_k u_k(t) tanh(w_k(t)' x + b_k(t))` (arXiv 1806.07366, section 4; CNF example of torchdiffeq).

    A tanh net of the time emits all of `w`, `u`, `b`; `u` is gated, `u * sigmoid(g)`. The trace is that of one hidden
    layer, `1/K sum_k tanh'(.) u_k' w_k`: O(K) a particle.

    Args:
        dim: size D of the last axis of x.
        width: number K of planar units.
        hidden: width of the two hidden layers of the time's net.
    """

    def __init__(self, dim: int, width: int = 64, hidden: int = 32):
        super().__init__()
        if min(dim, width, hidden) < 1:
            raise ValueError(f"dim, width and hidden must be at least 1, got {dim}, {width}, {hidden}")
        self.dim, self.width = dim, width
        self.hypernet = nn.Sequential(
            nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, self.emitted)
        )
        self.activations = nn.ModuleList([Tanh()])

    @property
    def emitted(self) -> int:
        """Numbers that the time's net emits: w, u and the gate of u (K x D each), then b (K)."""
        return (3 * self.dim + 1) * self.width

    def condition(self, context: Tensor | None) -> tuple[()]:
        return ()

    def _maps(self, t: Tensor, x: Tensor, condition: Any) -> list[AffineMap]:
        if x.shape[-1] != self.dim:
            raise ValueError(f"PlanarField expected states (..., {self.dim}), got {tuple(x.shape)}")
        emitted = self.hypernet(t.unsqueeze(-1).to(self.hypernet[0].weight.dtype))
        block = self.width * self.dim
        w, u, gate, b = emitted.split((block, block, block, self.width), dim=-1)
        w, u = (part.unflatten(-1, (self.width, self.dim)) for part in (w, u * torch.sigmoid(gate)))
        first, last = AffineMap(w, None, b), AffineMap(u.mT / self.width, None, u.new_zeros(self.dim))
        return [first.aligned(x.ndim), last.aligned(x.ndim)]

    def code_shape(self, x):
        return (*x.shape[:-1], self.width)

    def exact_divergence(self, t, x, condition=None):
        f, maps, slopes = self._run(t, x, condition)
        return f, trace_of_one_hidden(maps, slopes)

    def exact_cost(self, shape):
        return 2.0

"""The amortised field of FFJORD's variational autoencoder: every example moves the weights by a matrix of low rank."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor, nn

from flowsuite.core.nets.activations import make_sloped_activation
from flowsuite.core.nets.affine_map import AffineMap, align, matmul
from flowsuite.core.nets.field_layers import make_field_layer
from flowsuite.core.nets.layered_field import LayeredField, scaled
from flowsuite.core.nets.mlp import check_context


class LowRankMap(NamedTuple):
    """`y = (W x) * s + V' (U' x) + shift`; the sum of the two matrices is never formed.

    Attributes:
        shared: the map of all examples.
        down: (B, 1..., rank, in), `U'`.
        up: (B, 1..., out, rank), `V'`.
        bias: (B, 1..., out), added to the shared shift.
    """

    shared: AffineMap
    down: Tensor
    up: Tensor
    bias: Tensor

    @property
    def scale(self) -> None:
        """That of the shared map acts on one of two terms, inside `push` and `pull`."""
        return None

    def apply(self, x: Tensor) -> Tensor:
        return self.shared.apply(x) + self._detour(x) + self.bias

    def _detour(self, x: Tensor) -> Tensor:
        return matmul(matmul(x, self.down), self.up)

    def push(self, v: Tensor) -> Tensor:
        return scaled(self.shared.push(v), self.shared) + self._detour(v)

    def pull(self, v: Tensor) -> Tensor:
        return self.shared.pull(scaled(v, self.shared)) + matmul(matmul(v, self.up.mT), self.down.mT)


class LowRankField(LayeredField):
    """`f(t, x; c)` with layers `L_l(t, h) + (h U_l(c)) V_l(c) + b_l(c)` (FFJORD, arXiv 1810.01367, section 5.4).

    The context is the amortised parameters themselves, (B, `context_features`): for each layer, in this order,
    `U_l` (in x rank, row by row), `V_l` (rank x out) and `b_l` (out). They are what an encoder emits. A solve reads
    them as they are: they are no part of its state.

    Args:
        dim: size D of the last axis of x.
        hidden: widths of the hidden layers.
        rank: of `U_l V_l`.
        layer: type of the shared layers `L_l`, see `flowsuite.core.nets.field_layers.FIELD_LAYERS`.
        activation: see `flowsuite.core.nets.activations.SLOPED_ACTIVATIONS`.
        residual: subtract x.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (512, 512),
        rank: int = 20,
        layer: str = "concat",
        activation: str = "softplus",
        residual: bool = False,
    ):
        super().__init__()
        sizes = [dim, *hidden, dim]
        if min(*sizes, rank) < 1:
            raise ValueError(f"expected sizes and a rank of at least 1, got sizes {sizes}, rank {rank}")
        self.dim, self.rank, self.residual = dim, rank, residual
        self.layers = nn.ModuleList(make_field_layer(layer, a, b, 1, 0) for a, b in pairwise(sizes))
        self.activations = nn.ModuleList(make_sloped_activation(activation) for _ in hidden)

    @property
    def context_features(self) -> int:
        """Numbers that a context row holds."""
        return sum(sum(self._pieces(layer)) for layer in self.layers)

    def _pieces(self, layer: nn.Module) -> tuple[int, int, int]:
        return layer.in_features * self.rank, layer.out_features * self.rank, layer.out_features

    def condition(self, context: Tensor | None) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
        """`(U', V', b)` of every layer."""
        features = self.context_features
        check_context(context, -1 if context is None else context.shape[0], features, "LowRankField")
        pieces = context.split([n for layer in self.layers for n in self._pieces(layer)], dim=1)
        unpacked = []
        for i, layer in enumerate(self.layers):
            down, up, bias = pieces[3 * i : 3 * i + 3]
            down = down.unflatten(1, (layer.in_features, self.rank)).mT
            unpacked.append((down, up.unflatten(1, (self.rank, layer.out_features)).mT, bias))
        return tuple(unpacked)

    def maps(self, t: Tensor, x: Tensor, condition: Any) -> list[LowRankMap]:
        if x.shape[-1] != self.dim:
            raise ValueError(f"LowRankField expected states (..., {self.dim}), got {tuple(x.shape)}")
        if condition is None:
            condition = self.condition(None)
        time = t.unsqueeze(-1).to(self.layers[0].dtype)
        maps = []
        for layer, (down, up, bias) in zip(self.layers, condition, strict=True):
            own = align(down, x.ndim, 2), align(up, x.ndim, 2), align(bias, x.ndim, 1)
            maps.append(LowRankMap(layer.affine(time, layer.condition(None)).aligned(x.ndim), *own))
        return maps

    def code_shape(self, x):
        return (*x.shape[:-1], self.layers[self.code_layer].out_features)

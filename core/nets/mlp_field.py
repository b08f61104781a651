"""Fully connected vector fields with their Jacobian written out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.nets.activations import make_sloped_activation
from flowsuite.core.nets.affine_map import AffineMap, matmul
from flowsuite.core.nets.field_layers import make_field_layer
from flowsuite.core.nets.layered_field import LayeredField, scaled
from flowsuite.core.nets.mlp import check_context
from flowsuite.core.nets.time_embedding import make_time_embedding
from flowsuite.core.nets.vector_field import float32_sum

STACKED = 2**26  # numbers that a stack of tangents may hold


class MLPField(LayeredField):
    """`f(t, x; c)`: time-dependent linear layers with a smooth activation between them; x is (B, ..., dim).

    The trace of its Jacobian (see `LayeredField` for the letters) has a closed form, without noise:

    - one hidden layer: `tr J = sum_j d1_j sum_k s2_k W2_kj W1_jk`, O(width);
    - two: `tr J = d2' [W2 * (W1 S3 W3)'] d1`, one more product of the width of a hidden layer, for any dim; the
      bracket depends on time and context only;
    - more: the dim tangents are pushed up and the dim cotangents pulled down to the middle layer, where they meet.

    Args:
        dim: size D of the last axis of x.
        hidden: widths of the hidden layers.
        layer: one of `flowsuite.core.nets.field_layers.FIELD_LAYERS`.
        activation: one of `flowsuite.core.nets.activations.SLOPED_ACTIVATIONS`.
        context_features: size C of a context (B, C), 0 for none.
        time_frequencies: 0 for the bare time, K for `cos(pi k t), sin(pi k t)`, k = 1..K.
        residual: subtract x: `f - x`, trace `tr J - D`.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (64, 64, 64),
        layer: str = "concatsquash",
        activation: str = "tanh",
        context_features: int = 0,
        time_frequencies: int = 0,
        residual: bool = False,
    ):
        super().__init__()
        sizes = [dim, *hidden, dim]
        if min(sizes) < 1:
            raise ValueError(f"every layer of a field needs at least one unit, got sizes {sizes}")
        self.dim, self.context_features, self.residual = dim, context_features, residual
        self.embedding = make_time_embedding(time_frequencies)
        self.layers = nn.ModuleList(
            make_field_layer(layer, a, b, self.embedding.features, context_features) for a, b in pairwise(sizes)
        )
        self.activations = nn.ModuleList(make_sloped_activation(activation) for _ in hidden)

    def condition(self, context: Tensor | None) -> tuple[tuple[Tensor, ...], ...]:
        if self.context_features:
            check_context(context, -1 if context is None else context.shape[0], self.context_features, "MLPField")
        return tuple(layer.condition(context) for layer in self.layers)

    def _maps(self, t: Tensor, x: Tensor, condition: Any) -> list[AffineMap]:
        if x.shape[-1] != self.dim:
            raise ValueError(f"MLPField expected states (..., {self.dim}), got {tuple(x.shape)}")
        time = self.embedding(t).to(self.layers[0].dtype)
        if condition is None:
            condition = self.condition(None)
        layers = zip(self.layers, condition, strict=True)
        return [layer.affine(time, parts).aligned(x.ndim) for layer, parts in layers]

    def code_shape(self, x):
        return (*x.shape[:-1], self.layers[self.code_layer].out_features)

    def exact_divergence(self, t, x, condition=None):
        f, maps, slopes = self._run(t, x, condition)
        trace = TRACES[min(len(slopes), 3)](maps, slopes)
        return f, (trace - self.dim if self.residual else trace).expand(x.shape[:-1])

    def exact_cost(self, shape):
        """Cheap for up to two hidden layers; above, `dim` products with every matrix between hidden layers.

        So too for two where single vectors have scales of their own, from a context: see `trace_of_two_hidden`.
        """
        own = bool(self.context_features) and len(shape) == 1
        if len(self.activations) + own <= 2:
            return 2.0
        sizes = [layer.in_features * layer.out_features for layer in self.layers]
        return 1.0 + self.dim * sum(sizes[1:-1]) / sum(sizes)


def trace_of_linear(maps: list[AffineMap], slopes: list[Tensor]) -> Tensor:
    diagonal = maps[0].weight.diagonal(dim1=-2, dim2=-1)
    return float32_sum(scaled(diagonal, maps[0]))


def trace_of_one_hidden(maps: list[AffineMap], slopes: list[Tensor]) -> Tensor:
    cycles = maps[1].weight.mT * maps[0].weight  # (..., H, D): W2_kj W1_jk
    if maps[1].scale is None:
        return float32_sum(slopes[0] * cycles.sum(-1))
    return float32_sum(slopes[0] * matmul(maps[1].scale, cycles))


def trace_of_two_hidden(maps: list[AffineMap], slopes: list[Tensor]) -> Tensor:
    first, second, last = maps
    own = last.scale is not None or any(m.weight.ndim > 2 for m in maps)
    if own and slopes[0].ndim == 2:  # a bracket for each example costs more than its tangents
        return trace_by_tangents(maps, slopes)
    back = first.weight if last.scale is None else first.weight * last.scale.unsqueeze(-2)
    bracket = second.weight * (back @ last.weight).mT  # (..., H2, H1)
    if bracket.ndim == 2:
        return float32_sum(F.linear(slopes[0], bracket) * slopes[1])
    points = slopes[0].shape[1:-1].numel()
    flat = slopes[0].reshape(-1, points, slopes[0].shape[-1])
    product = torch.bmm(flat, bracket.reshape(-1, *bracket.shape[-2:]).mT)
    return float32_sum(product.view_as(slopes[1]) * slopes[1])


def trace_by_tangents(maps: list[AffineMap], slopes: list[Tensor]) -> Tensor:
    """Tangents of the D coordinates, stacked on a new first axis, up to the middle layer; cotangents down to it."""
    tangents, cotangents = rows(maps[0].weight.mT, slopes[0]), rows(maps[-1].weight, slopes[0])
    if maps[-1].scale is not None:
        cotangents = cotangents * maps[-1].scale.movedim(-1, 0).unsqueeze(-1)
    stack = max(1, STACKED // max(slope.numel() for slope in slopes))
    pairs = zip(tangents.split(stack), cotangents.split(stack), strict=True)
    return sum(meet_in_the_middle(maps, slopes, up, down) for up, down in pairs)


def meet_in_the_middle(maps: list[AffineMap], slopes: list[Tensor], up: Tensor, down: Tensor) -> Tensor:
    middle = (len(slopes) + 1) // 2
    for m, slope in zip(maps[1:middle], slopes[: middle - 1], strict=True):
        up = matmul(up * slope, m.weight)
    for m, slope in zip(reversed(maps[middle:-1]), reversed(slopes[middle:]), strict=True):
        down = matmul(down * slope, m.weight.mT)
    return float32_sum((up * down).sum(0) * slopes[middle - 1])


def rows(matrix: Tensor, like: Tensor) -> Tensor:
    """(D, H), or (B, 1..., D, H), as (D, 1 or B, 1..., H)."""
    if matrix.ndim == 2:
        return matrix.view(matrix.shape[0], *[1] * (like.ndim - 1), matrix.shape[1])
    return matrix.movedim(-2, 0)


TRACES = [trace_of_linear, trace_of_one_hidden, trace_of_two_hidden, trace_by_tangents]

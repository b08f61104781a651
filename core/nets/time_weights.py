"""Layers of fields whose weights move with time: blended, or emitted by a network of the time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowsuite.core.nets.affine_map import AffineMap
from flowsuite.core.nets.time_layers import TimeLinear


def blend(start: Tensor, end: Tensor, time: Tensor) -> Tensor:
    """`start + t (end - start)`; a time (B, 1) puts an axis B in front, a time (1,) does not."""
    if time.ndim == 1:
        return torch.lerp(start, end, time.reshape(()))
    return torch.lerp(start, end, time.view(-1, *[1] * start.ndim))


class WeightNet(nn.Module):
    """A tanh net of the time, F -> 8 -> P, that emits the bias and the weight of a layer, in this order.

    It starts as in FFJORD (arXiv 1810.01367): weights 0, biases N(0, 0.01^2).
    """

    def __init__(self, bias_shape: Sequence[int], weight_shape: Sequence[int], time_features: int = 1, hidden: int = 8):
        super().__init__()
        self.shapes = tuple(bias_shape), tuple(weight_shape)
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.net = nn.Sequential(nn.Linear(time_features, hidden), nn.Tanh(), nn.Linear(hidden, sum(self.sizes)))
        for linear in (self.net[0], self.net[2]):
            nn.init.zeros_(linear.weight)
            nn.init.normal_(linear.bias, 0.0, 0.01)

    def forward(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """(F,) to `(bias, weight)`; (B, F) to one of each for every example."""
        parts = self.net(time).split(self.sizes, dim=-1)
        bias, weight = (part.unflatten(-1, shape) for part, shape in zip(parts, self.shapes, strict=True))
        return bias, weight


def check_blend(time_features: int, context_features: int) -> None:
    if time_features != 1:
        raise ValueError(f"a blend layer takes the bare time, got {time_features} time features")
    check_no_context("blend", context_features)


def check_no_context(layer: str, context_features: int) -> None:
    if context_features:
        raise ValueError(f"a {layer} layer takes no context, got context_features={context_features}")


class BlendLinear(TimeLinear):
    """`y = (1 - t) (W0 x + b0) + t (W1 x + b1)`: meant for t in [0, 1] (FFJORD fixes the end time to 1)."""

    def __init__(self, in_features: int, out_features: int, time_features: int = 1, context_features: int = 0):
        super().__init__(in_features, out_features, time_features, context_features)
        check_blend(time_features, context_features)
        self.start, self.end = (nn.Linear(in_features, out_features) for _ in range(2))

    def condition(self, context):
        return ()

    def affine(self, time, condition):
        weight = blend(self.start.weight, self.end.weight, time)
        return AffineMap(weight, None, blend(self.start.bias, self.end.bias, time))


class HyperLinear(TimeLinear):
    """`y = W(t) x + b(t)`, both emitted by a `WeightNet`."""

    def __init__(self, in_features: int, out_features: int, time_features: int = 1, context_features: int = 0):
        super().__init__(in_features, out_features, time_features, context_features)
        check_no_context("hyper", context_features)
        self.hypernet = WeightNet((out_features,), (out_features, in_features), time_features)

    def condition(self, context):
        return ()

    def affine(self, time, condition):
        bias, weight = self.hypernet(time)
        return AffineMap(weight, None, bias)

"""Convolutional vector fields with their Jacobian products written out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from flowsuite.core.nets.activations import make_sloped_activation
from flowsuite.core.nets.conv_layers import sizes_along
from flowsuite.core.nets.conv_map import STRIDES, ConvMap
from flowsuite.core.nets.field_layers import make_conv_layer
from flowsuite.core.nets.layered_field import LayeredField
from flowsuite.core.nets.mlp import check_context
from flowsuite.core.nets.time_embedding import make_time_embedding


class ConvField(LayeredField):
    """`f(t, x; c)` on images (B, C, H, W): time-dependent convolutions with a smooth activation between them.

    Jacobian products are convolutions again (see `LayeredField`): no autograd graph inside a solve. The exact trace
    takes one for every pixel and channel, so that "auto" estimates it. Published: FFJORD (arXiv 1810.01367), stride 1
    throughout within a multi-scale flow, or an encoder-decoder of strides 2, 2, 1, -2, -2.

    Args:
        shape: (C, H, W).
        hidden: channels of the hidden layers.
        strides: one for each layer, one more than `hidden`: 1, 2 (halves height and width), -2 (doubles them); all 1
            if None. The last layer must arrive at the size of the image again.
        layer: one of `flowsuite.core.nets.field_layers.CONV_FIELD_LAYERS`.
        activation: one of `flowsuite.core.nets.activations.SLOPED_ACTIVATIONS`.
        context_features: size C of a context (B, C), 0 for none.
        time_frequencies: 0 for the bare time, K for `cos(pi k t), sin(pi k t)`, k = 1..K.
        residual: subtract x: `f - x`, trace `tr J - D`.
    """

    event_dims = 3

    def __init__(
        self,
        shape: tuple[int, int, int],
        hidden: Sequence[int] = (64, 64, 64),
        strides: Sequence[int] | None = None,
        layer: str = "concat",
        activation: str = "softplus",
        context_features: int = 0,
        time_frequencies: int = 0,
        residual: bool = False,
    ):
        super().__init__()
        if len(shape) != 3 or min(*shape, *hidden, 1) < 1:
            raise ValueError(f"expected shape (C, H, W) and hidden channels of at least 1, got {shape}, {hidden}")
        self.shape, self.context_features, self.residual = tuple(shape), context_features, residual
        strides = check_strides(strides, len(hidden) + 1, shape[1:])
        self.sizes, channels = sizes_along(shape[1:], strides), [shape[0], *hidden, shape[0]]
        self.embedding = make_time_embedding(time_frequencies)
        extra = self.embedding.features, context_features
        self.layers = nn.ModuleList(
            make_conv_layer(layer, a, b, size, stride, *extra)
            for (a, b), size, stride in zip(pairwise(channels), self.sizes, strides, strict=False)
        )
        self.activations = nn.ModuleList(make_sloped_activation(activation) for _ in hidden)

    def condition(self, context: Tensor | None) -> tuple[tuple[Tensor, ...], ...]:
        if self.context_features:
            check_context(context, -1 if context is None else context.shape[0], self.context_features, "ConvField")
        return tuple(layer.condition(context) for layer in self.layers)

    def maps(self, t: Tensor, x: Tensor, condition: Any) -> list[ConvMap]:
        if tuple(x.shape[1:]) != self.shape:
            wanted = ", ".join(map(str, self.shape))
            raise ValueError(f"ConvField expected states (B, {wanted}), got {tuple(x.shape)}")
        time = self.embedding(t).to(self.layers[0].dtype)
        if condition is None:
            condition = self.condition(None)
        return [layer.at(time, parts) for layer, parts in zip(self.layers, condition, strict=True)]

    def code_shape(self, x):
        i = self.code_layer
        return (x.shape[0], self.layers[i].out_channels, *self.sizes[i + 1])


def check_strides(strides: Sequence[int] | None, layers: int, size: tuple[int, int]) -> tuple[int, ...]:
    strides = (1,) * layers if strides is None else tuple(strides)
    if len(strides) != layers or not set(strides) <= set(STRIDES):
        raise ValueError(f"expected {layers} strides, one a layer, of {', '.join(map(str, STRIDES))}, got {strides}")
    sizes = sizes_along(size, strides)
    if min(min(s) for s in sizes) < 1 or sizes[-1] != tuple(size):
        raise ValueError(f"strides {strides} take images of {size[0]}x{size[1]} to {sizes[-1][0]}x{sizes[-1][1]}")
    return strides

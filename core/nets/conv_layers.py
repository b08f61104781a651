"""Convolutions whose map changes with time (and a context): the layer types of FFJORD (arXiv 1810.01367) for images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.core.nets.conv_map import STRIDES, ConvMap, convolve, output_size
from flowsuite.core.nets.time_layers import Modulated
from flowsuite.core.nets.time_weights import WeightNet, blend, check_blend, check_no_context


class TimeConv(nn.Module):
    """A layer of a convolutional field: `condition(context)` once per solve, `at(time, condition)` once per time.

    Args:
        in_channels, out_channels: of its images.
        size: (height, width) of its input.
        stride: 1, 2, or -2 for a transposed convolution.
        time_features, context_features: as in `flowsuite.core.nets.time_layers.TimeLinear`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: tuple[int, int],
        stride: int = 1,
        time_features: int = 1,
        context_features: int = 0,
    ):
        super().__init__()
        if stride not in STRIDES:
            raise ValueError(f"stride must be one of {', '.join(map(str, STRIDES))}, got {stride}")
        self.in_channels, self.out_channels, self.size, self.stride = in_channels, out_channels, tuple(size), stride
        self.time_features, self.context_features = time_features, context_features

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, size={self.size}, stride={self.stride}"

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @property
    def out_axis(self) -> int:
        """The axis of a weight that counts the output channels."""
        return 1 if self.stride < 0 else 0

    def make_conv(self, in_channels: int, bias: bool = True) -> nn.Conv2d | nn.ConvTranspose2d:
        kind = nn.ConvTranspose2d if self.stride < 0 else nn.Conv2d
        kernel = 3 if self.stride == 1 else 4
        return kind(in_channels, self.out_channels, kernel, stride=abs(self.stride), padding=1, bias=bias)

    def condition(self, context: Tensor | None) -> tuple[Tensor, ...]:
        """What depends on the context, or on nothing but the parameters."""
        return ()

    def at(self, time: Tensor, condition: tuple[Tensor, ...]) -> ConvMap:
        raise NotImplementedError


def as_channels(x: Tensor) -> Tensor:
    """(C,) as (1, C, 1, 1), (B, C) as (B, C, 1, 1)."""
    return x.reshape(-1, x.shape[-1], 1, 1)


class GatedConv(Modulated, TimeConv):
    """`y = (conv x + b) * gate([t; c]) + U [t; c]` by channel, with or without the gate and the last term."""

    def __init__(self, *arguments, gate: str | None = None, bias: bool = False, **options):
        super().__init__(*arguments, **options)
        self.conv = self.make_conv(self.in_channels)
        self.add_modulation(self.out_channels, self.time_features, self.context_features, gate, bias)

    def at(self, time, condition):
        weight = self.conv.weight
        scale, shift = self.modulate(self.conv.bias, time, condition)
        if scale is None:
            return ConvMap(weight, None, as_channels(shift), self.stride)
        if scale.ndim == 1:
            weight = weight * scale.view(-1, *[1] * (3 - self.out_axis))
            return ConvMap(weight, None, as_channels(shift), self.stride)
        return ConvMap(weight, as_channels(scale), as_channels(shift), self.stride)


class ConcatConv(TimeConv):
    """`y = conv [t; c; x; coordinates] + b`: constant channels, and with `coordinates` the row and column indices.

    Initialised as one convolution of all inputs together. The image of a constant channel is the constant times the
    image of ones, borders included, which is taken once per solve.
    """

    def __init__(self, *arguments, coordinates: bool = False, **options):
        super().__init__(*arguments, **options)
        extra = self.time_features + self.context_features + 2 * coordinates
        self.coordinates = coordinates
        self.conv, self.constants = self.make_conv(self.in_channels), self.make_conv(extra, bias=False)
        whole = self.make_conv(extra + self.in_channels)
        parts = whole.weight.detach().split((extra, self.in_channels), dim=1 - self.out_axis)
        with torch.no_grad():
            self.constants.weight.copy_(parts[0])
            self.conv.weight.copy_(parts[1])
            self.conv.bias.copy_(whole.bias)

    def condition(self, context):
        """`(images of the time's channels (F, out, H', W'), everything else of the shift (1 or B, out, H', W'))`."""
        weight = self.constants.weight
        inputs = weight.new_ones(1, weight.shape[1 - self.out_axis], *self.size)
        if self.coordinates:
            rows, columns = (torch.arange(n, dtype=weight.dtype, device=weight.device) for n in self.size)
            inputs[0, -2], inputs[0, -1] = rows.unsqueeze(1), columns
        channels = torch.eye(inputs.shape[1], dtype=weight.dtype, device=weight.device)
        images = convolve(channels[..., None, None] * inputs, weight, abs(self.stride), self.stride < 0)
        sizes = (self.time_features, self.context_features, 2 * self.coordinates)
        of_time, of_context, of_place = images.split(sizes)
        static = as_channels(self.conv.bias) + of_place.sum(0, keepdim=True)
        if self.context_features:
            static = static + torch.einsum("bf,fohw->bohw", context.to(weight.dtype), of_context)
        return of_time, static

    def at(self, time, condition):
        of_time, static = condition
        shift = static + torch.einsum("bf,fohw->bohw", time.reshape(-1, time.shape[-1]), of_time)
        return ConvMap(self.conv.weight, None, shift, self.stride)


class BlendConv(TimeConv):
    """`y = (1 - t) (conv0 x + b0) + t (conv1 x + b1)`, for t in [0, 1]."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        check_blend(self.time_features, self.context_features)
        self.start, self.end = (self.make_conv(self.in_channels) for _ in range(2))

    def at(self, time, condition):
        shift = blend(self.start.bias, self.end.bias, time)
        return ConvMap(blend(self.start.weight, self.end.weight, time), None, as_channels(shift), self.stride)


class HyperConv(TimeConv):
    """`y = conv(x, W(t)) + b(t)`, both emitted by a `WeightNet`."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        check_no_context("hyper", self.context_features)
        shape = self.make_conv(self.in_channels).weight.shape
        self.hypernet = WeightNet((self.out_channels,), shape, self.time_features)

    def at(self, time, condition):
        bias, weight = self.hypernet(time)
        return ConvMap(weight, None, as_channels(bias), self.stride)


def sizes_along(size: tuple[int, int], strides: tuple[int, ...]) -> list[tuple[int, int]]:
    """(height, width) before the first layer and after each."""
    sizes = [tuple(size)]
    for stride in strides:
        sizes.append(output_size(sizes[-1], stride))
    return sizes

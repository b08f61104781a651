"""One layer of a convolutional field at one time."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

STRIDES = (1, 2, -2)


class ConvMap(NamedTuple):
    """`y = conv(x, W) * scale + shift` on images (B, C, H, W), at one time.

    Stride 1 is a 3x3 convolution with padding 1; 2 a 4x4 one that halves height and width; -2 its transpose, that
    doubles them.

    Attributes:
        weight: (out, in, k, k), for stride -2 (in, out, k, k); with an axis B in front where each example has its own.
        scale: (B, out, 1, 1), or None for 1: a scale that all examples share is folded into the weight.
        shift: (1 or B, out, 1 or H', 1 or W').
        stride: 1, 2 or -2.
    """

    weight: Tensor
    scale: Tensor | None
    shift: Tensor
    stride: int

    def apply(self, x: Tensor) -> Tensor:
        y = self.push(x)
        return (y if self.scale is None else y * self.scale) + self.shift

    def push(self, v: Tensor) -> Tensor:
        """The linear part without the scale; `v` may have one more axis in front, of several tangents."""
        return convolve(v, self.weight, abs(self.stride), self.stride < 0)

    def pull(self, v: Tensor) -> Tensor:
        """The transpose of `push`: the same weight in the other kind of convolution."""
        return convolve(v, self.weight, abs(self.stride), self.stride > 0)


def convolve(x: Tensor, weight: Tensor, stride: int, transposed: bool) -> Tensor:
    """(..., B, C, H, W) by one weight for all, or (B, ...) of them as groups of one convolution. Padding is 1."""
    function = F.conv_transpose2d if transposed else F.conv2d
    if weight.ndim == 4:
        y = function(x.flatten(0, -4), weight, stride=stride, padding=1)
        return y.view(*x.shape[:-3], *y.shape[1:])
    batch = weight.shape[0]
    joined = x.reshape(-1, batch * x.shape[-3], *x.shape[-2:])
    y = function(joined, weight.flatten(0, 1), stride=stride, padding=1, groups=batch)
    return y.view(*x.shape[:-3], -1, *y.shape[-2:])


def output_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Height and width after a layer."""
    height, width = size
    if stride == 2:
        return height // 2, width // 2
    return (2 * height, 2 * width) if stride == -2 else (height, width)

"""Weight-normalised residual convolutional network, the conditioner of RealNVP."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.cache import ParameterCache
from flowsuite.core.layers.moments import MovingMoments, batch_moments
from flowsuite.core.layers.statistics import several_ranks


class WeightNormConv2d(nn.Module):
    """Same-size odd-kernel convolution with `w = g * v / ||v||` (weight normalisation, arXiv 1602.07868).

    The norm is over (in, height, width) of each output channel. Only with `magnitude=True` is there a learned `g`;
    without, the weight has norm 1. Initial values (RealNVP's published code): `v ~ U(-a, a)`, `g = a sqrt(in k k / 12)`
    with `a = sqrt(2 / in)`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = True, magnitude: bool = False
    ):
        super().__init__()
        bound = math.sqrt(2 / in_channels)
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        initial = bound * math.sqrt(in_channels * kernel_size**2 / 12)
        self.magnitude = nn.Parameter(torch.full((out_channels,), initial)) if magnitude else None
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.padding = kernel_size // 2
        self.cache = ParameterCache()

    def normalized_weight(self) -> Tensor:
        scale = self.weight.square().sum(dim=(1, 2, 3), keepdim=True).rsqrt()
        if self.magnitude is not None:
            scale = scale * self.magnitude.view(-1, 1, 1, 1)
        return self.weight * scale

    def forward(self, x: Tensor) -> Tensor:
        weight = self.cache.get("weight", self.parameters(), self.normalized_weight)
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class ShiftBatchNorm2d(MovingMoments):
    """`y = (x - mean) / sqrt(var + eps) + bias`: batch norm with a learned shift and no gain.

    Training normalises with the batch's mean and population variance (see `MovingMoments` for `lag` and ranks),
    evaluation with their running averages.
    """

    def __init__(self, channels: int, eps: float = 1e-4, lag: float = 0.0):
        super().__init__(channels, lag=lag)
        self.eps = eps
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, None, self.bias, eps=self.eps)
        if self.lag or several_ranks():
            mean, var = (t.view(1, -1, 1, 1) for t in self.blend(*batch_moments(x)))
            return (x - mean) * (var + self.eps).rsqrt() + self.bias.view(1, -1, 1, 1)
        # With momentum 1 the fused kernel leaves the batch's own mean and unbiased variance in these two.
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = F.batch_norm(x, mean, var, None, self.bias, training=True, momentum=1.0, eps=self.eps)
        count = x.numel() // x.shape[1]
        self.update(mean, var * ((count - 1) / count))
        return y


class ConvStack(nn.Module):
    """Convolutions with batch norm (or a bias in its place) and ReLU between them; the last has bias and magnitude.

    `bottleneck` gives 1x1, 3x3, 1x1 convolutions, otherwise there are two of 3x3. With `norm_first` batch norm and
    ReLU also come before the first.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        bottleneck: bool,
        batch_norm: bool,
        lag: float = 0.0,
        norm_first: bool = False,
    ):
        super().__init__()
        self.norm_first = norm_first
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        sizes = [in_channels] + [width] * (len(kernels) - 1) + [out_channels]
        last = len(kernels) - 1
        self.convs = nn.ModuleList(
            WeightNormConv2d(sizes[i], sizes[i + 1], kernel, bias=i == last or not batch_norm, magnitude=i == last)
            for i, kernel in enumerate(kernels)
        )
        normed = sizes[0 if norm_first else 1 : -1]
        self.norms = nn.ModuleList(_norm(size, batch_norm, lag) for size in normed)

    def forward(self, x: Tensor) -> Tensor:
        convs = iter(self.convs)
        if not self.norm_first:
            x = next(convs)(x)
        for norm, conv in zip(self.norms, convs, strict=True):
            x = conv(F.relu(norm(x)))
        return x


def _norm(channels: int, batch_norm: bool, lag: float) -> nn.Module:
    return ShiftBatchNorm2d(channels, lag=lag) if batch_norm else nn.Identity()


class ResNet(nn.Module):
    """The conditioner of RealNVP's published code (arXiv 1605.08803): (B, in, H, W) -> (B, out, H, W).

    3x3 convolution in; `blocks` residual blocks of batch norm, ReLU, convolution, twice (`bottleneck`: thrice, 1x1,
    3x3, 1x1); batch norm, ReLU and 1x1 convolution out. With `skip` the head reads, instead of the last block's
    output, the sum of 1x1 convolutions of the input convolution's output and of every block's. All convolutions are
    weight-normalised. Without blocks the net is a plain `ConvStack`.

    Args:
        in_channels, width, out_channels: channels before, inside and after.
        blocks: number of residual blocks.
        bottleneck: 1x1, 3x3, 1x1 blocks.
        skip: sum 1x1 convolutions of all blocks.
        batch_norm: use batch norm; otherwise all convolutions have biases.
        lag: see `MovingMoments`.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        blocks: int,
        bottleneck: bool = False,
        skip: bool = True,
        batch_norm: bool = True,
        lag: float = 0.0,
    ):
        super().__init__()
        if blocks < 0 or width < 1:
            raise ValueError(f"a ResNet needs blocks >= 0 and width >= 1, got {blocks} and {width}")
        self.stack = None
        if not blocks:
            self.stack = ConvStack(in_channels, width, out_channels, bottleneck, batch_norm, lag)
            return
        self.conv_in = WeightNormConv2d(in_channels, width, 3)
        self.blocks = nn.ModuleList(
            ConvStack(width, width, width, bottleneck, batch_norm, lag, norm_first=True) for _ in range(blocks)
        )
        self.skips = None
        if skip:
            self.skips = nn.ModuleList(WeightNormConv2d(width, width, 1, magnitude=True) for _ in range(blocks + 1))
        self.norm_out = _norm(width, batch_norm, lag)
        self.conv_out = WeightNormConv2d(width, out_channels, 1, magnitude=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        if self.stack is not None:
            return self.stack(x)
        h = self.conv_in(x)
        out = None if self.skips is None else self.skips[0](h)
        for i, block in enumerate(self.blocks):
            h = h + block(h)
            if self.skips is not None:
                out = out + self.skips[i + 1](h)
        return self.conv_out(F.relu(self.norm_out(h if out is None else out)))

"""Convolutional conditioners of Glow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.core.cache import ParameterCache
from flowsuite.core.layers.actnorm import ActNorm, initializing
from flowsuite.core.nets.narrow_conv import conv2d

ACTIVATIONS = ("relu", "gatu")


def gatu(h: Tensor) -> Tensor:
    """`tanh(a) * sigmoid(b)` of the halves of the channels (gated activation unit, arXiv 1606.05328)."""
    a, b = h.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)


def folded_conv2d(
    x: Tensor,
    weight: Tensor,
    actnorm: ActNorm,
    edge_weight: Tensor | None = None,
    relu: bool = False,
    dilation: int = 1,
    bias: Tensor | None = None,
) -> Tensor:
    """`actnorm(conv2d(x, weight, bias, edge_weight))` with its scale folded into the weights; may initialise it."""
    if initializing():
        actnorm.maybe_initialize(conv2d(x, weight, bias, edge_weight, dilation=dilation))
    scale, shift, _ = (t[0] for t in ActNorm.stacked_scale([actnorm]))
    column = scale.view(-1, 1, 1, 1)
    edge_weight = None if edge_weight is None else edge_weight * column
    shift = shift if bias is None else shift + bias
    return conv2d(x, weight * column, shift * scale, edge_weight, relu, dilation)


class EdgeConv2d(nn.Module):
    """Same-size odd-kernel convolution that may see where the image ends, with foldable output scale.

    `y = (conv(pad(x)) + bias) * exp(f * log_scale)`. With `edge="zeros"` the padding is plain; with "ones" its ring
    holds ones in every channel (PyTorch ports of Glow); with "indicator" the ring is zero and one more channel, 1 on
    the ring and 0 inside, joins the input (openai/glow). The last two only add a fixed map to the output, which is
    computed once per call from the weights instead of padding the batch.

    Args:
        actnorm: follow the convolution by an `ActNorm` (which is then its bias); folded into the weights.
        zero_init: everything starts at 0, and the learned `log_scale` (times `logscale_factor`) is there.
        dilation: of the kernel; the ring of the padding is as wide.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        edge: str = "zeros",
        actnorm: bool = False,
        zero_init: bool = False,
        logscale_factor: float = 3.0,
        dilation: int = 1,
    ):
        super().__init__()
        if edge not in ("zeros", "ones", "indicator"):
            raise ValueError(f'edge must be "zeros", "ones" or "indicator", got {edge!r}')
        self.edge = edge if kernel_size > 1 else "zeros"
        self.logscale_factor, self.dilation = logscale_factor, dilation

        def weight(channels: int) -> nn.Parameter:
            std = 0.0 if zero_init else 0.05
            return nn.Parameter(std * torch.randn(out_channels, channels, kernel_size, kernel_size))

        self.cache = ParameterCache()
        self.weight = weight(in_channels)
        self.edge_weight = weight(1) if self.edge == "indicator" else None
        self.actnorm = ActNorm(out_channels) if actnorm else None
        self.bias = None if actnorm else nn.Parameter(torch.zeros(out_channels))
        self.log_scale = nn.Parameter(torch.zeros(out_channels)) if zero_init else None

    def _folded(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Weight, bias and edge weight with the scale multiplied in."""
        edge_weight = self.weight.sum(1, keepdim=True) if self.edge == "ones" else self.edge_weight
        if self.actnorm is not None:
            scale, shift, _ = (t[0] for t in ActNorm.stacked_scale([self.actnorm]))
        elif self.log_scale is not None:
            scale, shift = (self.logscale_factor * self.log_scale).exp(), self.bias
        else:
            return self.weight, self.bias, edge_weight
        column = scale.view(-1, 1, 1, 1)
        edge_weight = None if edge_weight is None else edge_weight * column
        return self.weight * column, shift * scale, edge_weight

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        if self.actnorm is not None and initializing():
            self.actnorm.maybe_initialize(conv2d(x, self.weight, None, self.edge_weight, dilation=self.dilation))
        if self.training:  # the weights change every step: a copy would only take memory
            weight, bias, edge_weight = self._folded()
        else:
            weight, bias, edge_weight = self.cache.get("folded", self.parameters(), self._folded)
        return conv2d(x, weight, bias, edge_weight, relu, self.dilation)


class GlowNet(nn.Module):
    """3x3 conv, ReLU, 1x1 conv, ReLU, 3x3 conv that starts at zero (Glow, arXiv 1807.03039, section 3.3).

    `activation="gatu"` has `tanh(a) * sigmoid(b)` of two 1x1 convs as second layer (VideoFlow, arXiv 1903.01434).
    `convention="official"`: actnorm after the hidden convolutions and a border-indicator channel (openai/glow).
    `convention="port"`: plain biased hidden convolutions, last one padded with ones (rosinality/glow-pytorch).
    """

    def __init__(
        self, in_channels: int, out_channels: int, width: int, convention: str = "official", activation: str = "relu"
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.activation = activation
        official = convention == "official"
        hidden_edge, last_edge = ("indicator", "indicator") if official else ("zeros", "ones")
        self.layers = nn.ModuleList(
            [
                EdgeConv2d(in_channels, width, 3, hidden_edge, actnorm=official),
                EdgeConv2d(width, 2 * width if activation == "gatu" else width, 1, actnorm=official),
                EdgeConv2d(width, out_channels, 3, last_edge, zero_init=True),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.layers
        h = first(x, relu=True)
        return last(gatu(second(h)) if self.activation == "gatu" else second(h, relu=True))

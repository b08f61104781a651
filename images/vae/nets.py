"""Encoders and decoders of variational autoencoders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.nets.mlp import ACTIVATIONS, make_activation

WINDOW = 4  # of maxout (arXiv 1505.05770)
# Standard deviation of initial weights, times the root of the number of inputs, at which signals keep their size; with
# torch's, 1/3 ** 0.5, they shrink to a fourth in every gated layer, and a deep network learns nothing at first.
GAINS = {"gated": 2.0, "maxout": 1.0}


def start(layer: nn.Module, inputs: float, activation: str) -> None:
    """Initial weights of a layer with an activation behind it, so that signals keep their size; biases 0."""
    nn.init.normal_(layer.weight, std=GAINS.get(activation, math.sqrt(2)) / math.sqrt(inputs))
    nn.init.zeros_(layer.bias)


class GatedConv(nn.Module):
    """`h * sigmoid(g)` with `(h, g)` one convolution of x, h linear (arXiv 1803.05649).

    Args:
        in_channels, out_channels, kernel: of the convolution; `kernel` may differ by axis.
        stride, padding: of the convolution.
        transposed: a transposed convolution; `output_padding` is that of its last rows and columns.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        transposed: bool = False,
        output_padding: tuple[int, int] = (0, 0),
    ):
        super().__init__()
        if transposed:
            self.conv = nn.ConvTranspose2d(in_channels, 2 * out_channels, kernel, stride, padding, output_padding)
        else:
            self.conv = nn.Conv2d(in_channels, 2 * out_channels, kernel, stride, padding)
        overlaps = math.prod(self.conv.kernel_size)
        if transposed:  # of one pixel, the first of a decoder, the copies lie side by side
            overlaps = overlaps / stride**2 if padding else 1
        start(self.conv, in_channels * overlaps, "gated")

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.conv(x), 1)


def halved(size: Sequence[int]) -> tuple[int, int]:
    """What a convolution of 5x5, stride 2 and padding 2 leaves of (height, width)."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


class ConvEncoder(nn.Module):
    """Images (B, C, H, W) in [0, 1] to features (B, F).

    Gated convolutions as published (arXiv 1803.05649, at width 32): 5x5 with 32 channels, 32 at stride 2, 64, 64 at
    stride 2, 64, then F with a kernel of the size of what is left, 7x7 of 28x28.

    Args:
        image_shape: (C, H, W).
        features: F.
        width: channels of the first layer.
    """

    def __init__(self, image_shape: Sequence[int], features: int = 256, width: int = 32):
        super().__init__()
        channels, *size = image_shape
        self.layers = nn.Sequential(
            GatedConv(channels, width, 5, 1, 2),
            GatedConv(width, width, 5, 2, 2),
            GatedConv(width, 2 * width, 5, 1, 2),
            GatedConv(2 * width, 2 * width, 5, 2, 2),
            GatedConv(2 * width, 2 * width, 5, 1, 2),
            GatedConv(2 * width, features, halved(halved(size))),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten(1)


class ConvDecoder(nn.Module):
    """Latents (N, D) to the parameters of the pixels (N, `levels` C, H, W): the encoder's mirror.

    With several levels a pixel, a 5x5 convolution to as many maps stands before the last one (Frey faces, 256).

    Args:
        image_shape: (C, H, W).
        latent_dims: D.
        levels: parameters of a pixel.
        width: channels of the last layers.
    """

    def __init__(self, image_shape: Sequence[int], latent_dims: int, levels: int = 1, width: int = 32):
        super().__init__()
        channels, *whole = image_shape
        half = halved(whole)

        def double(in_channels: int, out_channels: int, target: Sequence[int]) -> GatedConv:
            odd = tuple(1 - side % 2 for side in target)
            return GatedConv(in_channels, out_channels, 5, 2, 2, True, odd)

        self.layers = nn.Sequential(
            GatedConv(latent_dims, 2 * width, halved(half), transposed=True),
            GatedConv(2 * width, 2 * width, 5, 1, 2, True),
            double(2 * width, width, half),
            GatedConv(width, width, 5, 1, 2, True),
            double(width, width, whole),
            GatedConv(width, width, 5, 1, 2, True),
        )
        if levels == 1:
            self.head = nn.Conv2d(width, channels, 1)
        else:
            self.head = nn.Sequential(nn.Conv2d(width, levels, 5, 1, 2), nn.Conv2d(levels, levels * channels, 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.head(self.layers(z[:, :, None, None]))


class Dense(nn.Module):
    """A linear layer and its activation: "maxout" (the largest of four), "gated" (`h sigmoid(g)`) or of `ACTIVATIONS`.

    (B, in) -> (B, out).
    """

    def __init__(self, in_features: int, out_features: int, activation: str):
        super().__init__()
        if activation not in ("maxout", "gated", *ACTIVATIONS):
            raise ValueError(f"unknown activation {activation!r}: expected maxout, gated, {', '.join(ACTIVATIONS)}")
        self.activation = activation
        factor = {"maxout": WINDOW, "gated": 2}.get(activation, 1)
        self.linear = nn.Linear(in_features, factor * out_features)
        start(self.linear, in_features, activation)
        self.pointwise = make_activation(activation) if factor == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        if self.activation == "maxout":
            return y.unflatten(1, (-1, WINDOW)).amax(2)
        return F.glu(y, 1) if self.pointwise is None else self.pointwise(y)


def dense_layers(sizes: Sequence[int], activation: str) -> list[nn.Module]:
    """Layers of these sizes, an activation after each."""
    return [Dense(a, b, activation) for a, b in pairwise(sizes)]


class DenseEncoder(nn.Module):
    """Images (B, C, H, W) in [0, 1] to features (B, F), through hidden layers of the sizes `hidden`."""

    def __init__(self, image_shape: Sequence[int], features: int, hidden: Sequence[int], activation: str):
        super().__init__()
        self.layers = nn.Sequential(*dense_layers([math.prod(image_shape), *hidden, features], activation))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))


class DenseDecoder(nn.Module):
    """Latents (N, D) to the parameters of the pixels (N, `levels` C, H, W), the last layer linear."""

    def __init__(
        self, image_shape: Sequence[int], latent_dims: int, levels: int, hidden: Sequence[int], activation: str
    ):
        super().__init__()
        channels, height, width = image_shape
        self.shape = (levels * channels, height, width)
        hidden = [latent_dims, *hidden]
        self.layers = nn.Sequential(*dense_layers(hidden, activation), nn.Linear(hidden[-1], math.prod(self.shape)))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).unflatten(1, self.shape)

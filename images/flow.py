"""What all image flows share: uint8 images in, a continuous flow between, uint8 images out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowsuite.core.distributions import Base, StandardNormal
from flowsuite.core.flow import Flow
from flowsuite.core.layers.dequantize import UniformDequantize
from flowsuite.core.objective import bits_per_dim
from flowsuite.core.transform import Compose, Transform


class ImageFlow(Flow):
    """A flow on images (N, C, H, W), uint8: `dequantize`, then `preprocess` and `body` between floats.

    `log_prob` takes integers and is a one-draw lower bound of their discrete log-probability, in nats; `sample` and
    `decode` give uint8. The continuous map alone, with images in [0, 1) on the data side, is `continuous`.

    Args:
        image_shape: (C, H, W).
        n_bits: depth that the pixels are reduced to, 1..8.
        preprocess: from [0, 1) to where the body works, a shift or a logit.
        body: the flow proper.
        base: density of the latent; standard normal over `latent_shape` if None.
        n_classes: number of classes if the model is conditional on a label, else 0.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        n_bits: int,
        preprocess: Transform,
        body: Transform,
        base: Base | None = None,
        n_classes: int = 0,
    ):
        dims = math.prod(image_shape)
        super().__init__(Compose([UniformDequantize(n_bits), preprocess, body]), base or StandardNormal(dims))
        self.image_shape, self.n_bits, self.dims, self.n_classes = tuple(image_shape), n_bits, dims, n_classes

    @property
    def dequantize(self) -> UniformDequantize:
        return self.transform[0]

    @property
    def body(self) -> Transform:
        return self.transform[2]

    @property
    def continuous(self) -> Flow:
        """The density of dequantised images `y` in [0, 1), sharing this flow's layers."""
        return Flow(self.transform[1:], self.base)

    def check_images(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"expected a uint8 tensor of images, got {type(x).__name__}")
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape or not len(x):
            wanted = ", ".join(map(str, self.image_shape))
            raise ValueError(f"expected images of shape (N, {wanted}), got {tuple(x.shape)}")

    def check_labels(self, context: Tensor | None) -> None:
        if not self.n_classes:
            return
        wanted = f"labels (N,) in 0..{self.n_classes - 1}"
        if context is None:
            raise ValueError(f"this model is conditional on a class: give {wanted}")
        if context.ndim != 1 or context.is_floating_point():
            raise ValueError(f"expected integer {wanted}, got {context.dtype} of shape {tuple(context.shape)}")
        if context.device.type == "cpu" and not torch.compiler.is_compiling() and context.numel():
            low, high = context.aminmax()
            if low < 0 or high >= self.n_classes:
                raise ValueError(f"expected {wanted}, got {int(low)}..{int(high)}")

    def log_prob(self, x, context=None):
        self.check_images(x)
        self.check_labels(context)
        return super().log_prob(x, context)

    def encode(self, x, context=None):
        """Images to latents (N, D), each pixel at the middle of its bin: `decode` gives the same images back."""
        self.check_images(x)
        self.check_labels(context)
        return self.continuous.encode(self.dequantize.center(x), context)

    def decode(self, z, context=None):
        self.check_labels(context)
        return super().decode(z, context)

    def bits_per_dim(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Bits per dimension at `n_bits`, one dequantisation draw, shape (N,)."""
        return bits_per_dim(self.log_prob(x, context), self.dims)

    @torch.no_grad()
    def initialize(self, x, context=None):
        self.check_images(x)
        super().initialize(x, context)


def check_divisible(image_shape: tuple[int, int, int], levels: int, model: str) -> None:
    """Every level halves height and width: both must be multiples of 2**levels."""
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"image_shape must be (channels, height, width), got {tuple(image_shape)}")
    _, height, width = image_shape
    if height % 2**levels or width % 2**levels:
        raise ValueError(
            f"{model} with {levels} levels needs height and width divisible by {2**levels}, got {height}x{width}"
        )

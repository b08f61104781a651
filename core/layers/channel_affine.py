"""Affine maps of the channel axis: the family that folds into one matrix."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.cache import ParameterCache
from flowsuite.core.numerics import at_least_float32, autocast_off
from flowsuite.core.transform import Transform

CONVOLUTIONS = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}


def positions(x: Tensor) -> int:
    """Number of positions that share the channel map: 1 for (B, C), H*W for (B, C, H, W)."""
    return x[0, 0].numel()


def check_channels(x: Tensor, channels: int, who: str) -> None:
    if x.ndim < 2 or x.shape[1] != channels:
        raise ValueError(f"{who} expected {channels} channels on axis 1, got a tensor of shape {tuple(x.shape)}")


def apply_channel_affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`y[b, :, p] = weight @ x[b, :, p] + bias` at every position `p`; x is (B, C) or (B, C, ...)."""
    with autocast_off(x):
        x = at_least_float32(x)
        if x.ndim == 2:
            return F.linear(x, weight, bias)
        kernel = weight[(...,) + (None,) * (x.ndim - 2)]
        if bias is not None and torch.compiler.is_compiling():
            # inductor (torch 2.12, CPU) cannot lower a convolution whose bias is a view of a computed tensor
            return CONVOLUTIONS[x.ndim](x, kernel) + bias.view(-1, *[1] * (x.ndim - 2))
        return CONVOLUTIONS[x.ndim](x, kernel, bias)


class ChannelAffine(Transform):
    """`z = W x + b` over axis 1 with one (W, b) for every position; log-det `positions * log|det W|`.

    A subclass gives `affine()`, and `inverse_affine()` where it knows better than a general solve; both are cached
    while autograd is off. `stacked_affine` serves K layers of one class with batched C x C algebra.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.cache = ParameterCache()

    def extra_repr(self) -> str:
        return f"channels={self.channels}"

    def affine(self) -> tuple[Tensor, Tensor, Tensor]:
        """`(W, b, log|det W|)` of shapes (C, C), (C,), ()."""
        weight, bias, ladj = self.stacked_affine([self])
        return weight[0], bias[0], ladj[0]

    def inverse_affine(self) -> tuple[Tensor, Tensor]:
        """`(W^-1, -W^-1 b)`."""
        weight, bias, _ = self.affine()
        return invert_affine(weight, bias)

    @classmethod
    def stacked_affine(cls, layers: list[ChannelAffine]) -> tuple[Tensor, Tensor, Tensor]:
        """`(W, b, log|det W|)` of K layers of this class: (K, C, C), (K, C), (K,)."""
        raise NotImplementedError(f"{cls.__name__} must define stacked_affine")

    def _state(self):
        return [*self.parameters(), *self.buffers()]

    def forward(self, x, context=None):
        check_channels(x, self.channels, type(self).__name__)
        weight, bias, ladj = self.cache.get("forward", self._state(), self.affine)
        return apply_channel_affine(x, weight, bias), (positions(x) * ladj).expand(x.shape[0])

    def inverse(self, z, context=None):
        ladj = self.cache.get("forward", self._state(), self.affine)[2]
        return self.generate(z), (-positions(z) * ladj).expand(z.shape[0])

    def generate(self, z, context=None):
        check_channels(z, self.channels, type(self).__name__)
        weight, bias = self.cache.get("inverse", self._state(), self.inverse_affine)
        return apply_channel_affine(z, weight, bias)


def invert_affine(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """`(W^-1, -W^-1 b)`, computed in float64 and returned in the dtype of `weight`; (..., C, C), (..., C)."""
    inverse = torch.linalg.inv(weight.double())
    shift = -(inverse @ bias.double().unsqueeze(-1)).squeeze(-1)
    return inverse.to(weight.dtype), shift.to(weight.dtype)

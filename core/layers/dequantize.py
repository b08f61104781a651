"""Uniform dequantisation: integers made continuous by noise in [0, 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowsuite.core.numerics import at_least_float32
from flowsuite.core.transform import Transform


class UniformDequantize(Transform):
    """8-bit integers `v` to `y = (floor(v / 2**(8 - n_bits)) + u) / 2**n_bits` with `u ~ U[0, 1)`, so `y` in [0, 1).

    Not a bijection. `ladj = -D log 2**n_bits`, so that `log p(y) + ladj` is a sample of the variational lower bound of
    the log-probability of the reduced integers (arXiv 1511.01844). The inverse rounds down to `n_bits`, spreads the
    levels over 0..255 (`v * 2**(8 - n_bits)`), and gives uint8.
    """

    bijective = False

    def __init__(self, n_bits: int = 8):
        super().__init__()
        if not 1 <= n_bits <= 8:
            raise ValueError(f"n_bits must be between 1 and 8, got {n_bits}")
        self.n_bits = n_bits
        self.register_buffer("anchor", torch.zeros(()), persistent=False)  # carries the dtype to work in

    def extra_repr(self) -> str:
        return f"n_bits={self.n_bits}"

    def quantize(self, x: Tensor) -> Tensor:
        """The integers 0..2**n_bits - 1 that the model is a density of."""
        if x.dtype != torch.uint8:
            raise TypeError(f"expected uint8 images with values 0..255, got {x.dtype}")
        return x >> (8 - self.n_bits)

    def forward(self, x, context=None):
        v = at_least_float32(self.quantize(x).to(self.anchor.dtype))
        y = (v + torch.rand_like(v)) / 2**self.n_bits
        # Adding u < 1 to v may round up to v + 1 in floating point; the last bin must stay below 1.
        y = y.clamp_max(1 - torch.finfo(y.dtype).eps / 2)
        return y, self._ladj(y)

    def center(self, x: Tensor) -> Tensor:
        """`y` with `u = 1/2`, the middle of every bin: no noise, so that encode-decode round trips are exact."""
        return (at_least_float32(self.quantize(x).to(self.anchor.dtype)) + 0.5) / 2**self.n_bits

    def inverse(self, z, context=None):
        return self.generate(z), -self._ladj(z)

    def generate(self, z, context=None):
        v = (at_least_float32(z) * 2**self.n_bits).floor().clamp(0, 2**self.n_bits - 1)
        return (v * 2 ** (8 - self.n_bits)).to(torch.uint8)

    def _ladj(self, x: Tensor) -> Tensor:
        dims = x[0].numel()
        return at_least_float32(x).new_full((x.shape[0],), -dims * self.n_bits * math.log(2))

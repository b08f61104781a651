"""Element-wise affine maps with no conditioner."""

from __future__ import annotations

import math

import torch
from torch import nn

from flowsuite.core.numerics import at_least_float32
from flowsuite.core.transform import Transform


class Rescale(Transform):
    """`z = factor * x + offset` with fixed numbers; log-det `D log|factor|`."""

    def __init__(self, factor: float = 1.0, offset: float = 0.0):
        super().__init__()
        if not factor:
            raise ValueError("factor must not be 0")
        self.factor, self.offset = factor, offset

    def extra_repr(self) -> str:
        return f"factor={self.factor}, offset={self.offset}"

    def _ladj(self, x):
        return at_least_float32(x).new_full((x.shape[0],), x[0].numel() * math.log(abs(self.factor)))

    def forward(self, x, context=None):
        return at_least_float32(x) * self.factor + self.offset, self._ladj(x)

    def inverse(self, z, context=None):
        return (at_least_float32(z) - self.offset) / self.factor, -self._ladj(z)


class DiagonalScale(Transform):
    """`z_i = exp(s_i) x_i` on vectors, `s = 0` at first; log-det `sum(s)` (NICE, arXiv 1410.8516, section 3.3).

    Sorting `exp(-s)` gives the importance spectrum of the latent dimensions.
    """

    def __init__(self, dims: int):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(dims))

    def forward(self, x, context=None):
        return at_least_float32(x) * self.log_scale.exp(), self.log_scale.sum().expand(x.shape[0])

    def inverse(self, z, context=None):
        return at_least_float32(z) * (-self.log_scale).exp(), (-self.log_scale.sum()).expand(z.shape[0])

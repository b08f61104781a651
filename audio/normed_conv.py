"""Convolutions with weight normalisation (Salimans and Kingma, arXiv 1602.07868)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def norm_per_filter(weight: Tensor) -> Tensor:
    """The Euclidean norm over all axes but the first, kept as axes of size 1."""
    return torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.ndim)), keepdim=True)


class WeightNorm:
    """Mixin for a convolution: computes with `normed = gain * weight / ||weight||`, one norm and gain per filter.

    `gain` starts as the norm, so that `normed` starts as `weight`. Unlike torch's parametrisation of the same, the
    module can be pickled.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gain = nn.Parameter(norm_per_filter(self.weight.detach()))

    @property
    def normed(self) -> Tensor:
        return self.gain * self.weight / norm_per_filter(self.weight)


class NormedConv1d(WeightNorm, nn.Conv1d):
    def forward(self, x):
        return self._conv_forward(x, self.normed, self.bias)


class NormedConv2d(WeightNorm, nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(x, self.normed, self.bias)


class NormedConvTranspose2d(WeightNorm, nn.ConvTranspose2d):
    def forward(self, x):
        return F.conv_transpose2d(x, self.normed, self.bias, self.stride, self.padding)

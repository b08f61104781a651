"""Logit: the unit cube to the whole space."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from flowsuite.core.numerics import at_least_float32, sum_over_event
from flowsuite.core.transform import Transform


class Logit(Transform):
    """`z = logit(alpha + (1 - 2 alpha) x)` for x in [0, 1].

    log-det per element: `softplus(z) + softplus(-z) + log(1 - 2 alpha)`.

    RealNVP (arXiv 1605.08803) uses `alpha = 0.05`, MAF and FFJORD 1e-6 on MNIST.
    """

    def __init__(self, alpha: float = 0.05):
        super().__init__()
        if not 0 <= alpha < 0.5:
            raise ValueError(f"alpha must be in [0, 0.5), got {alpha}")
        self.alpha = alpha

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"

    def _ladj(self, z):
        return sum_over_event(F.softplus(z) + F.softplus(-z) + math.log(1 - 2 * self.alpha))

    def forward(self, x, context=None):
        p = self.alpha + (1 - 2 * self.alpha) * at_least_float32(x)
        z = torch.log(p) - torch.log1p(-p)
        return z, self._ladj(z)

    def inverse(self, z, context=None):
        z = at_least_float32(z)
        return (torch.sigmoid(z) - self.alpha) / (1 - 2 * self.alpha), -self._ladj(z)

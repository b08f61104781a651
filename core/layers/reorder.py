"""Volume-preserving rearrangements that need no parameters: flattening, reversal, even-odd order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from flowsuite.core.numerics import zero_ladj
from flowsuite.core.transform import Transform


class Flatten(Transform):
    """(B, *shape) to (B, D), log-det 0."""

    def __init__(self, shape: Sequence[int]):
        super().__init__()
        self.shape = tuple(shape)

    def extra_repr(self) -> str:
        return f"shape={self.shape}"

    def forward(self, x, context=None):
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"Flatten expected shape (N, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")
        return x.flatten(1), zero_ladj(x)

    def inverse(self, z, context=None):
        if z.ndim != 2 or z.shape[1] != math.prod(self.shape):
            raise ValueError(f"Flatten.inverse expected shape (N, {math.prod(self.shape)}), got {tuple(z.shape)}")
        return z.unflatten(1, self.shape), zero_ladj(z)


class Reverse(Transform):
    """Axis 1 read backwards, log-det 0 (the exchange of roles between NICE's couplings, arXiv 1410.8516)."""

    def forward(self, x, context=None):
        return x.flip(1), zero_ladj(x)

    def inverse(self, z, context=None):
        return z.flip(1), zero_ladj(z)


class EvenOdd(Transform):
    """Entries with even indices along axis 1 first, then those with odd ones; log-det 0 (NICE, arXiv 1410.8516)."""

    def forward(self, x, context=None):
        return torch.cat((x[:, ::2], x[:, 1::2]), dim=1), zero_ladj(x)

    def inverse(self, z, context=None):
        x = torch.empty_like(z)
        even = (z.shape[1] + 1) // 2
        x[:, ::2], x[:, 1::2] = z[:, :even], z[:, even:]
        return x, zero_ladj(z)

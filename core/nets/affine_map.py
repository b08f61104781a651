"""One layer of a fully connected field at one time."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class AffineMap(NamedTuple):
    """`y = (W x) * scale + shift` along the last axis, at one time.

    Attributes:
        weight: (out, in), or (B, out, in) where each example has its own.
        scale: (B, out), or None for 1: a scale that all examples share is folded into the weight.
        shift: (out,) or (B, out).
    """

    weight: Tensor
    scale: Tensor | None
    shift: Tensor

    def aligned(self, ndim: int) -> AffineMap:
        """The same map, its parts of one row an example shaped to meet states of `ndim` axes."""
        return AffineMap(*(align(part, ndim, whole) for part, whole in zip(self, (2, 1, 1), strict=True)))

    def apply(self, x: Tensor) -> Tensor:
        if self.scale is None and self.weight.ndim == 2 and self.shift.ndim == 1:
            return F.linear(x, self.weight, self.shift)
        product = matmul(x, self.weight)
        return product + self.shift if self.scale is None else torch.addcmul(self.shift, product, self.scale)

    def push(self, v: Tensor) -> Tensor:
        """`W v`, without the scale; `v` may have one more axis in front, of several tangents."""
        return matmul(v, self.weight)

    def pull(self, v: Tensor) -> Tensor:
        """`W' v`, without the scale."""
        return matmul(v, self.weight.mT)


def align(part: Tensor | None, ndim: int, whole: int) -> Tensor | None:
    """A part with one row for each example, (B, *part), as (B, 1, ..., *part) to meet states of `ndim` axes."""
    if part is None or part.ndim == whole:
        return part
    return part.view(part.shape[0], *[1] * (ndim - 2), *part.shape[1:])


def matmul(x: Tensor, weight: Tensor) -> Tensor:
    """`W x` along the last axis of (..., in); `W` is (out, in), or one for each example as `align` shapes it."""
    if weight.ndim == 2:
        return F.linear(x, weight)
    stacked = x.ndim == weight.ndim  # tangents in front of the batch
    rows = x.movedim(0, -2) if stacked else x
    flat = rows.reshape(rows.shape[0], rows.shape[1:-1].numel(), rows.shape[-1])
    product = torch.bmm(flat, weight.reshape(-1, *weight.shape[-2:]).mT)
    product = product.view(*rows.shape[:-1], product.shape[-1])
    return product.movedim(-2, 0) if stacked else product

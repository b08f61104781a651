"""Multi-scale architecture: half of the dimensions leave after every level, all of them end in one flat latent."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flowsuite.core.layers.split import Split
from flowsuite.core.transform import Transform


class MultiScale(Transform):
    """Levels with a `Split` between one and the next (RealNVP, arXiv 1605.08803, section 3.6; Glow, 1807.03039).

    The latent is flat, (B, D): what left after the first level, then after the second, ..., then the top. Every part
    is standard, because splits and `top` standardise. `unflatten` gives the parts in their shapes, `flatten` undoes it.

    Args:
        levels: one transform a level (squeeze included).
        splits: one `Split` fewer.
        shapes: (C, H, W) of what leaves after each level, the top last.
        top: standardises the last latent; None leaves it as it is.
    """

    def __init__(
        self,
        levels: list[Transform],
        splits: list[Split],
        shapes: list[tuple[int, ...]],
        top: Transform | None = None,
    ):
        super().__init__()
        if len(splits) != len(levels) - 1 or len(shapes) != len(levels):
            raise ValueError(
                f"{len(levels)} levels need {len(levels) - 1} splits and {len(levels)} latent shapes, "
                f"got {len(splits)} and {len(shapes)}"
            )
        self.levels, self.splits, self.top = nn.ModuleList(levels), nn.ModuleList(splits), top
        self.shapes = [tuple(shape) for shape in shapes]
        self.dims = sum(math.prod(shape) for shape in self.shapes)

    def flatten(self, parts: list[Tensor]) -> Tensor:
        return torch.cat([part.flatten(1) for part in parts], dim=1)

    def unflatten(self, z: Tensor) -> list[Tensor]:
        if z.ndim != 2 or z.shape[1] != self.dims:
            raise ValueError(f"expected latents of shape (N, {self.dims}), got {tuple(z.shape)}")
        sizes = [math.prod(shape) for shape in self.shapes]
        return [part.unflatten(1, shape) for part, shape in zip(z.split(sizes, dim=1), self.shapes, strict=True)]

    def forward_parts(self, x: Tensor, context: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        """`(eps, ladj)` of every level: the whole `ladj` is their sum."""
        parts = []
        for i, level in enumerate(self.levels):
            x, ladj = level(x, context)
            if i < len(self.splits):
                x, eps, split_ladj = self.splits[i](x)
                parts.append((eps, ladj + split_ladj))
            elif self.top is None:
                parts.append((x, ladj))
            else:
                eps, top_ladj = self.top(x, context)
                parts.append((eps, ladj + top_ladj))
        return parts

    def forward(self, x, context=None):
        parts = self.forward_parts(x, context)
        return self.flatten([eps for eps, _ in parts]), sum(ladj for _, ladj in parts)

    def inverse(self, z, context=None):
        *outer, x = self.unflatten(z)
        total = 0
        if self.top is not None:
            x, total = self.top.inverse(x, context)
        for i in range(len(self.levels) - 1, -1, -1):
            if i < len(self.splits):
                x, ladj = self.splits[i].inverse(x, outer[i])
                total = total + ladj
            x, ladj = self.levels[i].inverse(x, context)
            total = total + ladj
        return x, total

    def generate(self, z, context=None):
        *outer, x = self.unflatten(z)
        if self.top is not None:
            x = self.top.generate(x, context)
        for i in range(len(self.levels) - 1, -1, -1):
            if i < len(self.splits):
                x = self.splits[i].inverse(x, outer[i])[0]
            x = self.levels[i].generate(x, context)
        return x

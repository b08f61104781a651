"""Space-to-depth: trades resolution for channels, volume-preserving."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.core.numerics import zero_ladj
from flowsuite.core.transform import Transform

ORDERED_CELLS = ((0, 0), (1, 1), (0, 1), (1, 0))


def squeeze2d(x: Tensor, fold: int = 2) -> Tensor:
    """(B, C, H, W) -> (B, f^2 C, H/f, W/f), channel `f^2 c + f i + j` from offset (i, j); channels-last in memory."""
    b, c, h, w = x.shape
    cells = x.permute(0, 2, 3, 1).reshape(b, h // fold, fold, w // fold, fold, c).permute(0, 1, 3, 5, 2, 4)
    return cells.reshape(b, h // fold, w // fold, fold**2 * c).permute(0, 3, 1, 2)


def unsqueeze2d(z: Tensor, fold: int = 2) -> Tensor:
    """The inverse of `squeeze2d`: (B, f^2 C, H, W) -> (B, C, f H, f W)."""
    b, c, h, w = z.shape
    cells = z.permute(0, 2, 3, 1).reshape(b, h, w, c // fold**2, fold, fold).permute(0, 1, 4, 2, 5, 3)
    return cells.reshape(b, fold * h, fold * w, c // fold**2).permute(0, 3, 1, 2)


class Squeeze2d(Transform):
    """Squeeze of images by cells of `fold` x `fold`, log-det 0.

    - `order="plain"` (Glow, RealNVP's inner squeeze): channel `f^2 c + f i + j` comes from offset (i, j) of the cell.
    - `order="checkerboard"` (RealNVP's factoring squeeze, arXiv 1605.08803): the output is grouped by offset in the
      order (0,0), (1,1), (0,1), (1,0), so that the first half of the channels is the diagonal of every 2x2 cell.
    """

    def __init__(self, order: str = "plain", fold: int = 2):
        super().__init__()
        if order not in ("plain", "checkerboard"):
            raise ValueError(f'order must be "plain" or "checkerboard", got {order!r}')
        if fold < 1 or (order == "checkerboard" and fold != 2):
            raise ValueError(f'fold must be at least 1, and 2 for order "checkerboard", got {fold}')
        self.order, self.fold = order, fold

    def forward(self, x, context=None):
        if x.ndim != 4 or x.shape[2] % self.fold or x.shape[3] % self.fold:
            wanted = "even H and W" if self.fold == 2 else f"H and W divisible by {self.fold}"
            raise ValueError(f"Squeeze2d needs images (N, C, H, W) with {wanted}, got {tuple(x.shape)}")
        if self.order == "plain":
            return squeeze2d(x, self.fold), zero_ladj(x)
        return torch.cat([x[:, :, i::2, j::2] for i, j in ORDERED_CELLS], dim=1), zero_ladj(x)

    def inverse(self, z, context=None):
        if z.ndim != 4 or z.shape[1] % self.fold**2:
            raise ValueError(f"Squeeze2d.inverse needs a multiple of {self.fold**2} channels, got {tuple(z.shape)}")
        if self.order == "plain":
            return unsqueeze2d(z, self.fold), zero_ladj(z)
        b, c, h, w = z.shape
        x = z.new_empty(b, c // 4, 2 * h, 2 * w)
        for part, (i, j) in zip(z.chunk(4, dim=1), ORDERED_CELLS, strict=True):
            x[:, :, i::2, j::2] = part
        return x, zero_ladj(z)

"""Clips of unequal width side by side in one wide matrix, with gaps that no convolution bridges."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


class PackedColumns:
    """The columns of a batch in one row of columns: clip b from `starts[b]` on, `gap` empty columns between clips.

    A convolution over columns that reaches at most `gap` to either side sees zeros around every clip, just as it would
    see around a single one, and nothing is computed for the padding of short clips but the gaps.

    Args:
        valid: bool (B, height, width), or None when every clip has all `width` columns.
        batch, width: of the tensors to pack.
        gap: empty columns between two clips.
        round_up: of the number of columns to the one to have, with empty ones at the end; None: as many as needed.
    """

    def __init__(
        self,
        valid: Tensor | None,
        batch: int,
        width: int,
        gap: int,
        round_up: Callable[[int], int] | None = None,
    ):
        self.batch, self.width = batch, width
        widths = [width] * batch if valid is None else valid.any(1).sum(1).tolist()
        starts = [0]
        for w in widths[:-1]:
            starts.append(starts[-1] + w + gap)
        needed = starts[-1] + widths[-1]
        self.size = needed if round_up is None else round_up(needed)
        self.spans = [(start, w) for start, w in zip(starts, widths, strict=True)]
        self.single = batch == 1 and widths[0] == width == self.size

    def pack(self, x: Tensor) -> Tensor:
        """(B, ..., width) -> (..., size), zeros in the gaps and behind the last clip."""
        if self.single:
            return x[0]
        packed = x.new_zeros(*x.shape[1:-1], self.size)
        for clip, (start, width) in zip(x, self.spans, strict=True):
            packed[..., start : start + width] = clip[..., :width]
        return packed

    def unpack(self, packed: Tensor) -> Tensor:
        """(..., size) -> (B, ..., width), zeros behind the end of short clips."""
        if self.single:
            return packed.unsqueeze(0)
        x = packed.new_zeros(self.batch, *packed.shape[:-1], self.width)
        for clip, (start, width) in zip(x, self.spans, strict=True):
            clip[..., :width] = packed[..., start : start + width]
        return x

    def mask(self, like: Tensor) -> Tensor | None:
        """(size,) 1 at the columns of clips and 0 in the gaps; None when there are none."""
        if self.single:
            return None
        mask = like.new_zeros(self.size)
        for start, width in self.spans:
            mask[start : start + width] = 1
        return mask

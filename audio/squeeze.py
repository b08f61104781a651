"""A waveform as a matrix whose columns are runs of successive samples, and back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def squeeze(x: Tensor, height: int) -> Tensor:
    """`X[..., i, j] = x[..., j * height + i]`: (..., n) -> (..., height, ceil(n / height)), zeros behind the end."""
    x = F.pad(x, (0, -x.shape[-1] % height))
    return x.unflatten(-1, (-1, height)).transpose(-1, -2)


def unsqueeze(rows: Tensor) -> Tensor:
    """The waveform of a matrix, (..., height, width) -> (..., height * width); undoes `squeeze` up to its zeros."""
    return rows.transpose(-1, -2).flatten(-2)


def cut_behind(x: Tensor, lengths: Tensor | None) -> Tensor:
    """`x` (B, ..., n) with zeros in every row b from `lengths[b]` on."""
    if lengths is None:
        return x
    beyond = torch.arange(x.shape[-1], device=x.device) >= lengths.unsqueeze(1)
    return x.masked_fill(beyond.view(len(x), *[1] * (x.ndim - 2), -1), 0.0)


def sample_mask(lengths: Tensor, n: int, height: int) -> Tensor:
    """True at the samples that exist: lengths (B,) of clips in n samples -> bool (B, height, ceil(n / height))."""
    return squeeze((torch.arange(n, device=lengths.device) < lengths.unsqueeze(1)).float(), height) > 0

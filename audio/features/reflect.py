"""Reflection at the ends of a clip, however short it is."""

from __future__ import annotations

import torch
from torch import Tensor


def fold(position: Tensor, samples: Tensor | int) -> Tensor:
    """Where `position` of a clip of `samples` (broadcast against it) that goes on by reflection is found in it, int64.

    The end samples are not doubled: before `x[0], x[1], x[2]` come `x[2], x[1]`. A clip shorter than what is asked for
    is reflected back and forth; one of a single sample goes on as a constant: `numpy.pad(mode="reflect")`.
    """
    period = (2 * (torch.as_tensor(samples, device=position.device) - 1)).clamp(min=1)
    folded = position.remainder(period)
    return torch.minimum(folded, period - folded)


def reflect_index(samples: int, start: int, stop: int, device: torch.device | str | None = None) -> Tensor:
    """Where the samples [start, stop) of a clip that goes on by reflection are found in it (`fold`): (n,)."""
    if samples < 1:
        raise ValueError(f"expected a clip of at least 1 sample, got {samples}")
    return fold(torch.arange(start, stop, device=device), samples)


def reflected(wave: Tensor, start: int, stop: int) -> Tensor:
    """Samples [start, stop) of clips (..., n), the clips going on by reflection: (..., stop - start)."""
    samples = wave.shape[-1]
    if start >= 0 and stop <= samples:
        return wave[..., start:stop]
    return wave.index_select(-1, reflect_index(samples, start, stop, wave.device))

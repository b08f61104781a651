"""A recording and its copy, made comparable."""

from __future__ import annotations

import torch
from torch import Tensor


def comparable(recording: Tensor, synthesis: Tensor) -> tuple[Tensor, Tensor]:
    """Both waves (..., n) in float64, cut to the shorter one, the synthesis clipped to [-1, 1].

    Raises:
        ValueError: a wave is empty, not finite, or the leading shapes differ.
    """
    both = []
    for name, wave in (("recording", recording), ("synthesis", synthesis)):
        wave = torch.as_tensor(wave).detach().double()
        if wave.ndim < 1 or not wave.numel():
            raise ValueError(f"the {name} must be a wave of at least 1 sample, got shape {tuple(wave.shape)}")
        if not wave.isfinite().all():
            raise ValueError(f"the {name} has {int((~wave.isfinite()).sum())} samples that are not finite")
        both.append(wave)
    if both[0].shape[:-1] != both[1].shape[:-1]:
        raise ValueError(f"expected as many recordings as syntheses, got {[tuple(wave.shape) for wave in both]}")
    samples = min(wave.shape[-1] for wave in both)
    return both[0][..., :samples], both[1][..., :samples].clamp(-1, 1)

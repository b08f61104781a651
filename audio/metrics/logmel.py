"""Distances of log-mel spectrograms."""

from __future__ import annotations

import functools
from dataclasses import replace

from torch import Tensor

from flowsuite.audio.features.mel import MelSpectrogram
from flowsuite.audio.features.spec import A0, PRESETS, MelSpec


def metric_spec(sample_rate: int) -> MelSpec:
    """The spec that metrics are measured in: variant A0 at this rate, whatever the model was conditioned on."""
    for name in ("A0", "A0-8k", "A0-24k"):
        if PRESETS[name].sample_rate == sample_rate:
            return PRESETS[name]
    return replace(A0, sample_rate=sample_rate, fmax=min(8000.0, sample_rate / 2))


@functools.lru_cache(maxsize=4)
def analyser(sample_rate: int) -> MelSpectrogram:
    return MelSpectrogram(metric_spec(sample_rate)).double()


def log_mel(wave: Tensor, sample_rate: int) -> Tensor:
    """Natural-log mel of `metric_spec(sample_rate)`, on the CPU: (n,) to (80, frames)."""
    return analyser(sample_rate)(wave.detach().cpu().double()[None])[0]


def log_mel_l1(recording: Tensor, synthesis: Tensor) -> float:
    """`mean |L_y - L_x|` over bands and frames; log-mels (80, frames) of `log_mel`."""
    return float((recording - synthesis).abs().mean())

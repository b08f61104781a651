"""Log-mels of any spec on one scale, so that what natural speech looks like has to be known only once."""

from __future__ import annotations

import math

from torch import Tensor

from flowsuite.audio.features.compress import expand
from flowsuite.audio.features.mel import filter_bank
from flowsuite.audio.features.spec import A0, MelSpec


def band_gain(spec: MelSpec) -> Tensor:
    """`ln` of what each band of a flat spectrum is per unit of amplitude of the wave: (n_mels, 1), float64."""
    weights = filter_bank(spec).double().sum(0).clamp(min=1e-12)
    return (weights.log() / spec.power + math.log(spec.win_length / 2))[:, None]


A0_GAIN = math.log(A0.n_fft / A0.sample_rate * A0.win_length / 2)  # of every band: their triangles have equal area


def level(mel: Tensor, spec: MelSpec) -> Tensor:
    """Log-mels (..., n_mels, F) as natural-log magnitudes with variant A0's gain; A0's own come out as they are.

    The logarithm's base, power, size of the triangles, length and window of the transform are divided out, not their
    resolution.
    """
    logs = expand(mel.double(), spec).clamp(min=1e-30).log() / spec.power
    return logs - band_gain(spec).to(mel.device) + A0_GAIN

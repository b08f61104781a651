"""Signal-to-noise ratio."""

from __future__ import annotations

from torch import Tensor


def snr_db(recording: Tensor, synthesis: Tensor) -> float:
    """`10 log10(sum y^2 / sum (y - x)^2)` in dB; says little of a vocoder, which is free to choose phases."""
    return float(10 * (recording.square().sum() / (recording - synthesis).square().sum()).log10())

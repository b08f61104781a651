"""Between linear band magnitudes and the logarithmic scale of a spec."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowsuite.audio.features.spec import MelSpec

UNIT_RANGE_DB = 100.0  # Parakeet's option: (dB - REFERENCE_DB + UNIT_RANGE_DB) / UNIT_RANGE_DB, clipped to [0, 1]
REFERENCE_DB = 10.0


def decades_per_unit(spec: MelSpec) -> float:
    """How many factors of ten in (magnitude ^ power) one unit of the logarithm is, before `unit_range`."""
    return {"natural": 1 / math.log(10), "log10": 1.0, "db": spec.power / 20}[spec.log]


def compress(bands: Tensor, spec: MelSpec) -> Tensor:
    """Band magnitudes ^ power, not negative, to the log scale of `spec`, elementwise."""
    if spec.log == "natural":
        return bands.clamp(min=spec.clamp).log()
    logs = bands.clamp(min=spec.clamp).log10() / decades_per_unit(spec)
    if spec.unit_range:
        return ((logs - REFERENCE_DB + UNIT_RANGE_DB) / UNIT_RANGE_DB).clamp(0, 1)
    return logs


def expand(mel: Tensor, spec: MelSpec) -> Tensor:
    """The log scale of `spec` to band magnitudes ^ power, elementwise: the inverse of `compress` above the clamp."""
    if spec.unit_range:
        mel = mel * UNIT_RANGE_DB - UNIT_RANGE_DB + REFERENCE_DB
    return mel.exp() if spec.log == "natural" else (mel * decades_per_unit(spec) * math.log(10)).exp()


def silence(spec: MelSpec) -> float:
    """The value of every band of digital silence: ln(1e-5) = -11.5129 in A0."""
    return float(compress(torch.zeros((), dtype=torch.float64), spec))

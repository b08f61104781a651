"""What mels of natural speech are like, and how far a given one is from that."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from flowsuite.audio.features.compress import expand
from flowsuite.audio.features.level import level
from flowsuite.audio.features.spec import MelSpec

# On the scale of `level`, LJ Speech (24 clips): mean -5.28, std 2.12, quantiles 1 % -9.57, 50 % -5.26, 99 % -0.42, max
# 2.06. Half-second pieces of it reach std 1.2 .. 3.0 and 1 % quantiles up to -7.1; spoken digits at 8 kHz, up to -5.9.
LOUDEST = 3.3  # a full-scale sine gives 2.6
QUIETEST_IS_BELOW = -5.0  # 1 % quantile
WIDEST = 3.2  # standard deviation
TYPICAL = {"mean": (-5.28, 1.0), "std": (2.12, 0.4), "low": (-9.57, 1.0), "high": (-0.42, 1.0)}  # and their scales
BELOW_CLAMP = 1.0  # natural-log units that a predicted mel may fall below the clamp
SECONDS = 0.4  # from which the distribution within a clip is judged


class Statistics(NamedTuple):
    mean: float
    std: float
    low: float
    high: float
    max: float


def statistics(levels: Tensor) -> Statistics:
    """Mean, standard deviation, 1 % and 99 % quantiles and maximum over all bands and frames."""
    values = levels.flatten().double().sort().values
    low, high = (float(values[round(q * (len(values) - 1))]) for q in (0.01, 0.99))
    return Statistics(float(values.mean()), float(values.std(correction=0)), low, high, float(values[-1]))


def seconds(mel: Tensor, spec: MelSpec) -> float:
    return mel.shape[1] * spec.hop_length / spec.sample_rate


def oddities(mel: Tensor, spec: MelSpec) -> list[str]:
    """All that natural speech could not be like, on the scale of A0."""
    least, largest, odd = float(mel.min()), float(mel.max()), []
    floor = float(expand(mel.double().min(), spec).clamp(min=1e-300).log())
    if floor < math.log(spec.clamp) - BELOW_CLAMP and not spec.unit_range:
        odd.append(f"its least value {least:.4g} is below the clamp")
    if spec.unit_range and (least < -0.05 or largest > 1.05):
        odd.append(f"its range {least:.4g} .. {largest:.4g} is not within 0 .. 1")
    found = statistics(level(mel, spec))
    if found.max > LOUDEST:
        odd.append(f"its largest value {largest:.4g} is louder than a full-scale tone")
    if seconds(mel, spec) < SECONDS:
        return odd
    if found.low > QUIETEST_IS_BELOW:
        odd.append(f"its values {least:.4g} .. {largest:.4g} have no quiet parts")
    if found.std > WIDEST:
        odd.append(f"its values spread too far (standard deviation {found.std:.3g}, speech has 1 to 3)")
    return odd


def likeness(mel: Tensor) -> float:
    """The correlation of neighbouring frames, each band's mean subtracted: about 0.9 for speech, 0 for noise."""
    centred = mel.double() - mel.double().mean(1, keepdim=True)
    power = float(centred.square().sum())
    return float((centred[:, 1:] * centred[:, :-1]).sum()) / power if power else 1.0


def distance(mel: Tensor, spec: MelSpec) -> float:
    """How far the statistics are from LJ Speech's, in typical deviations."""
    found = statistics(level(mel, spec))
    return sum(((getattr(found, name) - centre) / scale) ** 2 for name, (centre, scale) in TYPICAL.items())

"""Is this array a mel of that spec? Statistics of natural speech, and what a wrong one most likely is."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from torch import Tensor

from flowsuite.audio.features.compress import expand
from flowsuite.audio.features.harmonics import harmonicity
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
LONG_SECONDS = 1.0  # from which it is judged what else it could be
BETTER_FIT, GOOD_FIT = 0.05, 0.85  # of the harmonics on another axis
LIKELY = 6.0  # `distance` under which a toolchain is named
SURE, UNLIKE = 2.0, 10.0  # a mel this near under another toolchain and this far under its own is of the other one
NORMALISED = 4.1  # tools scale to [0, 1], [-1, 1], [-4, 4] or unit variance
INT16 = 32768


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


def check_mel(mel: Tensor, spec: MelSpec, name: str = "mel") -> None:
    """Raises a ValueError of one line, with the likely cause and the remedy, if `mel` can't be one of `spec`.

    Silence, quiet clips and every clip of LJ Speech and of the Free Spoken Digits (at 8 kHz) pass. What it sees: wrong
    shapes, numbers that are not finite, another logarithm (log10, dB, 0 .. 1), power spectra, triangles of height 1,
    waves not divided by 32768, and, from the spacing of the harmonics in a second or more of voiced speech, the HTK
    scale or another fmax. What it can't see: half a hop, another loudness.

    Args:
        mel: one clip, (n_mels, F).
        spec: what it should be.
        name: of the file or item, for the message.
    """
    trouble = diagnose(mel, spec)
    if trouble is not None:
        raise ValueError(f"{name}: {trouble}")


def diagnose(mel: Tensor, spec: MelSpec) -> str | None:
    """What is wrong with a mel, in one line, or None; see `check_mel`."""
    trouble = wrong_shape(mel, spec) or not_finite(mel)
    if trouble:
        return trouble
    odd = oddity(mel, spec) or unlikely(mel, spec)
    if odd:
        return f"not a mel of this spec: {odd}; {likely_cause(mel, spec)}"
    return wrong_axis(mel, spec)


def wrong_shape(mel: Tensor, spec: MelSpec) -> str | None:
    got = tuple(mel.shape)
    if mel.ndim != 2 or not mel.numel() or not mel.is_floating_point():
        return f"expected a floating-point mel ({spec.n_mels}, frames), got {mel.dtype} {got}"
    if mel.shape[0] == spec.n_mels:
        return None
    if mel.shape[1] == spec.n_mels:
        return f"expected a mel ({spec.n_mels}, frames), got {got}: transpose it"
    return f"expected a mel of {spec.n_mels} bands ({spec.n_mels}, frames), got {got}"


def not_finite(mel: Tensor) -> str | None:
    bad = ~mel.isfinite()
    if not bad.any():
        return None
    nan, cause = int(mel.isnan().sum()), "the logarithm of 0 without a clamp?"
    first = int(bad.any(0).nonzero()[0])
    what = f"{nan} NaN" if nan else f"{int(bad.sum())} infinite"
    return f"{what} of {mel.numel()} values, the first in frame {first}" + ("" if nan else f" ({cause})")


def seconds(mel: Tensor, spec: MelSpec) -> float:
    return mel.shape[1] * spec.hop_length / spec.sample_rate


def oddity(mel: Tensor, spec: MelSpec) -> str | None:
    """What natural speech could not be like, on the scale of A0."""
    least = float(expand(mel.double().min(), spec).clamp(min=1e-300).log())
    if least < math.log(spec.clamp) - BELOW_CLAMP and not spec.unit_range:
        return f"its least value {float(mel.min()):.4g} is below the clamp"
    if spec.unit_range and (mel.min() < -0.05 or mel.max() > 1.05):
        return f"its range {float(mel.min()):.4g} .. {float(mel.max()):.4g} is not within 0 .. 1"
    found = statistics(level(mel, spec))
    if found.max > LOUDEST:
        return f"its largest value {float(mel.max()):.4g} is louder than a full-scale tone"
    if seconds(mel, spec) < SECONDS:
        return None
    if found.low > QUIETEST_IS_BELOW:
        return f"its values {float(mel.min()):.4g} .. {float(mel.max()):.4g} have no quiet parts"
    if found.std > WIDEST:
        return f"its values spread too far (standard deviation {found.std:.3g}, speech has 1 to 3)"
    return None


def unlikely(mel: Tensor, spec: MelSpec) -> str | None:
    """A mel that is possible under its spec but typical speech under another one: log10 of powers."""
    if seconds(mel, spec) < LONG_SECONDS or distance(mel, spec) < UNLIKE:
        return None
    if min(distance(mel, other) for other in toolchains(spec)) > SURE:
        return None
    return f"its mean is {float(mel.mean()):.3g}"


def likely_cause(mel: Tensor, spec: MelSpec) -> str:
    """The toolchain under which the mel is most like natural speech, and what to do about it."""
    far, other = min(((distance(mel, other), other) for other in toolchains(spec)), key=lambda found: found[0])
    if spec.log == "natural":
        scaled = mel - math.log(INT16) * spec.power
        if distance(scaled, spec) < far and not oddity(scaled, spec):
            return f"it looks like that of a wave of 16-bit integers: divide the wave by {INT16}"
    if far < LIKELY:
        return f"it looks like {described(other, spec)}"
    if mel.abs().max() <= NORMALISED:
        return "it looks normalised: undo the normalisation of the tool that made it"
    return "no known toolchain gives such values; compute it anew with flowsuite.audio.features.MelSpectrogram"


def toolchains(spec: MelSpec) -> list[MelSpec]:
    """The specs with other logarithms, powers and triangles."""
    logs = [{"log": log, "unit_range": False} for log in ("natural", "log10", "db")]
    logs.append({"log": "db", "unit_range": True})
    norms, powers = ("slaney", None), (1.0, 2.0)
    every = [replace(spec, **log, norm=n, power=p, clamp=1e-10) for log, n, p in product(logs, norms, powers)]
    return [other for other in every if changes(other, spec)]


def changes(other: MelSpec, spec: MelSpec) -> list[str]:
    return [name for name in ("log", "unit_range", "norm", "power") if getattr(other, name) != getattr(spec, name)]


def distance(mel: Tensor, spec: MelSpec) -> float:
    """How far the statistics are from LJ Speech's, in typical deviations."""
    found = statistics(level(mel, spec))
    return sum(((getattr(found, name) - centre) / scale) ** 2 for name, (centre, scale) in TYPICAL.items())


REMEDIES = {  # (its logarithm, the wanted one) -> what to do
    ("log10", "natural"): "multiply it by 2.3026, or convert it",
    ("natural", "log10"): "divide it by 2.3026, or convert it",
}
LOG_NAMES = {"natural": "a natural logarithm", "log10": "log10", "db": "decibels"}


def described(other: MelSpec, spec: MelSpec) -> str:
    """`"log10 instead of a natural logarithm: multiply it by 2.3026"`."""
    different, parts, settings = changes(other, spec), [], {}
    if {"log", "unit_range"} & set(different):
        name = "decibels scaled to 0 .. 1" if other.unit_range else LOG_NAMES[other.log]
        parts.append(f"{name} instead of {'0 .. 1' if spec.unit_range else LOG_NAMES[spec.log]}")
        settings |= {"log": other.log} | ({"unit_range": other.unit_range} if "unit_range" in different else {})
    if "power" in different:
        parts.append("a power spectrogram (values doubled)" if other.power == 2 else "magnitudes, not powers")
        settings["power"] = other.power
    if "norm" in different:
        parts.append(f"triangles {'of height 1' if other.norm is None else 'of equal area'}")
        settings["norm"] = other.norm
    remedy = REMEDIES.get((other.log, spec.log), "convert it") if different == ["log"] else "convert it"
    return f"{', '.join(parts)}: {remedy} {by_option(settings)}"


def by_option(settings: dict) -> str:
    """How `flowsuite vocode` converts mels made with these settings."""
    return f"(vocode --spec '{json.dumps(settings)}')"


def wrong_axis(mel: Tensor, spec: MelSpec) -> str | None:
    """Whether the harmonics are equally spaced on another frequency axis than the spec's."""
    levels = level(mel, spec)
    own = harmonicity(levels, spec)
    if own is None or seconds(mel, spec) < LONG_SECONDS:
        return None
    fits = []
    for scale, fmax in product(("slaney", "htk"), (None, 8000.0)):
        if fmax is not None and fmax > spec.sample_rate / 2:
            continue
        other = replace(spec, scale=scale, fmax=fmax)
        if (other.scale, other.highest) != (spec.scale, spec.highest):
            fits.append((harmonicity(levels, other) or 0.0, scale, fmax, other.highest))
    best, scale, fmax, highest = max(fits, default=(0.0, "", None, 0.0))
    if best < max(own + BETTER_FIT, GOOD_FIT):
        return None
    settings = {"scale": scale} if scale != spec.scale else {}
    settings |= {"fmax": fmax} if highest != spec.highest else {}
    what = " and ".join(f"{name} {value!r} instead of {getattr(spec, name)!r}" for name, value in settings.items())
    return f"not a mel of this spec: its harmonics say {what}: convert it {by_option(settings)}"

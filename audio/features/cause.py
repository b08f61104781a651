"""What a mel that is not one of a spec may be: nothing is named that the numbers do not bear out."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product

from torch import Tensor

from flowsuite.audio.features.ordinary import SECONDS, distance, likeness, oddities, seconds
from flowsuite.audio.features.spec import MelSpec

LIKELY, NAMED = 6.0, 1.0  # `distance` under which a toolchain is named as possible; as what it looks like
AS_LIKELY = 3.0  # further away than the nearest toolchain, others are named too
UNLIKE_SPEECH = 0.2  # `likeness`
NORMALISED = 4.1  # tools scale to [0, 1], [-1, 1], [-4, 4] or unit variance
INT16 = 32768


def likely_cause(mel: Tensor, spec: MelSpec) -> str:
    """The toolchains under which the mel is like natural speech, and what to do about it; or that there are none."""
    if seconds(mel, spec) >= SECONDS and likeness(mel) < UNLIKE_SPEECH:
        return (
            f"neighbouring frames hardly agree (correlation {likeness(mel):.2f}, speech has 0.9): is it a mel at all?"
        )
    scaling = scaled_by_its_own(mel)
    if scaling:
        return f"{scaling}: undo that if you can, or compute it anew"
    possible = candidates(mel, spec)
    if spec.log == "natural":
        scaled = mel - math.log(INT16) * spec.power
        far = distance(scaled, spec)
        if far < min([LIKELY, *(found for found, _ in possible)]) and not oddities(scaled, spec):
            return f"it looks like that of a wave of 16-bit integers: divide the wave by {INT16}"
    if len(possible) == 1 and possible[0][0] < NAMED:
        return f"it looks like {described(possible[0][1], spec)}"
    if possible:
        choices = "; or ".join(described(other, spec) for _, other in possible)
        return f"it may be {choices}; if you do not know, compute it anew"
    if mel.abs().max() <= NORMALISED:
        return "it may be normalised, or no logarithm: no known toolchain gives such values; compute it anew"
    return "no known toolchain gives such values; compute it anew with flowsuite.audio.features.MelSpectrogram"


def scaled_by_its_own(mel: Tensor) -> str | None:
    """By which of its own statistics a mel has evidently been scaled."""
    low, high = float(mel.min()), float(mel.max())
    bands = mel.double().std(1, correction=0), mel.double().mean(1)
    if mel.shape[1] > 1 and (bands[0] - 1).abs().median() < 0.02 and bands[1].abs().median() < 0.02:
        return "every band has mean 0 and standard deviation 1"
    if abs(float(mel.mean())) < 0.02 and abs(float(mel.std()) - 1) < 0.02:
        return "it has mean 0 and standard deviation 1"
    for least, largest in ((0.0, 1.0), (-1.0, 1.0)):
        # Several largest values have been clipped there, as Parakeet's decibels are.
        if abs(low - least) < 1e-4 and abs(high - largest) < 1e-4 and int((mel == high).sum()) == 1:
            return f"its least and largest values are {least:g} and {largest:g}, as if scaled by them"
    if int((mel == low).sum()) > 1 and low in (-1.0, -4.0) and high <= -low:
        return f"its values are clipped to {low:g} .. {-low:g}, so it was scaled to that"
    if abs(high) < 1e-4 and low <= -30:
        return "its largest value is 0: decibels below its own maximum, which is lost"
    return None


def candidates(mel: Tensor, spec: MelSpec) -> list[tuple[float, MelSpec]]:
    """`(distance, spec)` of the toolchains under which a mel could be speech, the nearest first."""
    every = sorted(((distance(mel, other), other) for other in toolchains(spec)), key=lambda found: found[0])
    good = [(far, other) for far, other in every if far < LIKELY and not oddities(mel, other)]
    return [(far, other) for far, other in good if far < good[0][0] + AS_LIKELY]


def toolchains(spec: MelSpec) -> list[MelSpec]:
    """The specs with other logarithms, powers and triangles."""
    logs = [{"log": log, "unit_range": False} for log in ("natural", "log10", "db")]
    logs.append({"log": "db", "unit_range": True})
    norms, powers = ("slaney", None), (1.0, 2.0)
    every = [replace(spec, **log, norm=n, power=p, clamp=1e-10) for log, n, p in product(logs, norms, powers)]
    return [other for other in every if changes(other, spec)]


def changes(other: MelSpec, spec: MelSpec) -> list[str]:
    return [name for name in ("log", "unit_range", "norm", "power") if getattr(other, name) != getattr(spec, name)]


REMEDIES = {  # (its logarithm, the wanted one) -> what to do
    ("log10", "natural"): "multiply it by 2.3026, or convert it",
    ("natural", "log10"): "divide it by 2.3026, or convert it",
}
LOG_NAMES = {"natural": "a natural logarithm", "log10": "log10", "db": "decibels"}


def described(other: MelSpec, spec: MelSpec) -> str:
    """`"log10 instead of a natural logarithm: multiply it by 2.3026"`."""
    different, parts, settings = changes(other, spec), [], {}
    if {"log", "unit_range"} & set(different):
        name = "decibels scaled to 0 .. 1 by (dB + 90) / 100" if other.unit_range else LOG_NAMES[other.log]
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

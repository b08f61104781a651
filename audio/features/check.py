"""Is this array a mel of that spec? If not, what was seen, and what it may be instead."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from torch import Tensor

from flowsuite.audio.features.cause import by_option, likely_cause, toolchains
from flowsuite.audio.features.harmonics import harmonicity
from flowsuite.audio.features.level import level
from flowsuite.audio.features.ordinary import distance, oddities, seconds
from flowsuite.audio.features.spec import MelSpec

LONG_SECONDS = 1.0  # from which it is judged what else it could be
BETTER_FIT, GOOD_FIT = 0.05, 0.85  # of the harmonics on another axis
SURE, UNLIKE = 2.0, 10.0  # a mel this near under another toolchain and this far under its own is of the other one


def check_mel(mel: Tensor, spec: MelSpec, name: str = "mel") -> None:
    """Raises a ValueError of one line if `mel` can't be one of `spec`: what was seen, what it may be, the remedy.

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
    odd = oddities(mel, spec) or unlikely(mel, spec)
    if odd:
        return f"not a mel of this spec: {', '.join(odd)}; {likely_cause(mel, spec)}"
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


def unlikely(mel: Tensor, spec: MelSpec) -> list[str]:
    """A mel that is possible under its spec but typical speech under another one: log10 of powers."""
    if seconds(mel, spec) < LONG_SECONDS or distance(mel, spec) < UNLIKE:
        return []
    if min(distance(mel, other) for other in toolchains(spec)) > SURE:
        return []
    return [f"its mean is {float(mel.mean()):.3g}"]


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

"""Turning a mel of one toolchain into that of another, without the audio."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flowsuite.audio.features.compress import compress, expand
from flowsuite.audio.features.inverse import linear_magnitude
from flowsuite.audio.features.mel import filter_bank
from flowsuite.audio.features.spec import MelSpec

BANK = ("sample_rate", "n_fft", "win_length", "n_mels", "fmin", "fmax", "scale", "norm", "power")
WINDOW_EXPONENT = 0.7  # a longer window raises a tone by its length, noise by the root of it; speech lies between
TIME = ("sample_rate", "hop_length", "centred")


def samples_of(frames: int, spec: MelSpec) -> int:
    """The most samples that a clip of so many frames can have."""
    return spec.hop_length * frames - (1 if spec.centred else 0)


def centred_spec(spec: MelSpec) -> MelSpec:
    """The same features with variant A0's frames, at the loudness they have."""
    return replace(spec, centred=True, peak=None)


def differ(source: MelSpec, target: MelSpec, names: tuple[str, ...]) -> bool:
    return any(getattr(source, name) != getattr(target, name) for name in names)


def convert(
    mel: Tensor, source: MelSpec, target: MelSpec, samples: int | None = None, clip_peak: float | None = None
) -> Tensor:
    """Mels (B, M, F) or (M, F) of spec `source` to what `target` would have made of the same clip, as far as possible.

    In this order, each step only where the two specs differ in it:

    1. the logarithm undone (`compress.expand`). What was clamped stays at the clamp.
    2. loudness: where either has a `peak`, the magnitudes are multiplied as the clip would have been. That takes
       `clip_peak`, unless both have one; without it the loudness stays as it is.
    3. the bank: bands to linear magnitudes (`inverse.linear_magnitude`), along the frequency axis to the other `n_fft`
       (times `WINDOW_EXPONENT` of the ratio of windows), to bands again. What is outside the source's fmin .. fmax is
       lost and comes out at the clamp; so is detail finer than the source's bands.
    4. time: linear interpolation of the logarithm between the frames' centres, held constant beyond the ends.
    5. the target's logarithm.

    Log-mel L1 against the target's own features on LJ Speech, natural logarithm (another log or loudness alone: 0; two
    different speakers' clips: about 2), from A0 and back to A0:

        half a hop (B0)                     0.09   0.09
        HTK scale                           0.10   0.09
        HTK, height-1 triangles, power 2    0.23   0.20
        fmax None                           0.43   0.11   (11 % of its bands are above 8 kHz)
        80 .. 7600 Hz                       0.08   0.18
        100 bands / 64 bands                0.13   0.04 / 0.05   0.15
        hop 200, window 800                 0.16   0.11
        n_fft and window 2048               0.33   0.33   (other harmonics are resolved)

    Args:
        mel: log-mels.
        source, target: specs.
        samples: of the clip; None is the most that F frames can stand for.
        clip_peak: absolute peak of the clip before any normalisation; only used where peaks differ.
    """
    if mel.ndim not in (2, 3) or mel.shape[-2] != source.n_mels or not mel.shape[-1]:
        raise ValueError(f"expected mels (batch, {source.n_mels}, frames), got {tuple(mel.shape)}")
    if source == target:
        return mel
    bands = expand(mel.double(), source) * gain(source, target, clip_peak) ** source.power
    if differ(source, target, BANK):
        bands = change_bank(bands, source, target)
    if differ(source, target, TIME):
        samples = samples_of(mel.shape[-1], source) if samples is None else samples
        bands = change_frames(bands.clamp(min=target.clamp).log(), source, target, samples).exp()
    return compress(bands, target).to(mel.dtype)


def gain(source: MelSpec, target: MelSpec, clip_peak: float | None) -> float:
    """By what the waveform behind the mel is to be multiplied."""
    if source.peak == target.peak:
        return 1.0
    known = [spec.peak or clip_peak for spec in (source, target)]
    return 1.0 if None in known else known[1] / known[0]


def change_bank(bands: Tensor, source: MelSpec, target: MelSpec) -> Tensor:
    """Band magnitudes ^ power of one bank to those of another, frames as they are."""
    magnitude = linear_magnitude(bands, source)
    if differ(source, target, ("sample_rate", "n_fft", "win_length")):
        magnitude = change_bins(magnitude, source, target)
    if target.power != 1:
        magnitude = magnitude**target.power
    return filter_bank(target, bands.dtype, bands.device).T @ magnitude


def change_bins(magnitude: Tensor, source: MelSpec, target: MelSpec) -> Tensor:
    """Magnitudes (..., bins, F) read at the target's frequencies; above the source's half rate there is nothing."""
    hertz = torch.arange(target.n_fft // 2 + 1, dtype=magnitude.dtype, device=magnitude.device)
    place = hertz * (target.sample_rate / target.n_fft) * (source.n_fft / source.sample_rate)
    inside = place <= magnitude.shape[-2] - 1
    scale = (target.win_length / source.win_length) ** WINDOW_EXPONENT
    return scale * lerp(magnitude.mT, place).mT * inside[:, None]


def change_frames(logs: Tensor, source: MelSpec, target: MelSpec, samples: int) -> Tensor:
    """Log bands (..., F) of a clip of `samples` read at the centres of the target's frames."""
    ratio = target.sample_rate / source.sample_rate
    there = max(1, round(samples * ratio))
    centres = frame_centres(target, there, logs) / ratio
    return lerp(logs, (centres - frame_centres(source, samples, logs)[0]) / source.hop_length)


def frame_centres(spec: MelSpec, samples: int, like: Tensor) -> Tensor:
    """The sample in the middle of every frame's window, (F,)."""
    first = spec.span(0, 1, samples)[0] + spec.n_fft / 2
    return first + spec.hop_length * torch.arange(spec.frames(samples), dtype=like.dtype, device=like.device)


def lerp(values: Tensor, place: Tensor) -> Tensor:
    """Values (..., F) read at real positions (K,) by linear interpolation, held constant beyond the ends: (..., K)."""
    place = place.clamp(0, values.shape[-1] - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=values.shape[-1] - 1)
    return torch.lerp(values[..., low], values[..., high], place - low)

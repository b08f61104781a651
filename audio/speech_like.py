"""Made-up speech: nothing to download, and its pitch is known.

A source and a filter (Fant 1960; Klatt 1980): a pulse train of moving pitch, through resonators that move from vowel
to vowel, band-shaped noise for fricatives and bursts, pauses with a low noise floor. It means nothing, but has the
harmonics, formants, transitions and levels of speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from flowsuite.audio.clips import PackedClips
from flowsuite.audio.speech_sounds import BLOCK, Noise, Score, Speaker, write_score
from flowsuite.audio.wave_files import to_int16
from flowsuite.core.training.seeding import fold_seed

RMS = (0.071, 0.109)  # just within those of LJ Speech: 0.07 to 0.11, and 0.50 to 0.97
PEAK = (0.51, 0.96)
VOICED = 0.05  # the least amplitude of the voice that counts as voiced
LOWEST_RATE = 4000  # Hz
HIGHEST = 0.45  # of the sample rate, for formants


@dataclass(frozen=True)
class SpeechClip:
    """A made-up utterance.

    Attributes:
        wave: (n,) float32, in [-1, 1).
        pitch: (n,) float32, fundamental frequency in Hz, 0 where there is no voice.
        speaker: its number.
    """

    wave: Tensor
    pitch: Tensor
    speaker: int


def speech_like(
    index: int,
    seed: int = 0,
    sample_rate: int = 22050,
    seconds: tuple[float, float] = (1.0, 3.0),
    speakers: int = 6,
) -> SpeechClip:
    """Utterance number `index`, a function of these arguments alone.

    Its RMS is between 0.07 and 0.11 and its peak between 0.5 and 0.97, as in LJ Speech; there is no digital silence.

    Args:
        index: of the utterance.
        seed: another one has other speakers and other utterances.
        sample_rate: Hz, at least 4,000.
        seconds: shortest and longest duration.
        speakers: how many voices there are.
    """
    check_settings(sample_rate, seconds, speakers)
    random = np.random.default_rng(fold_seed("speech-like", seed, int(index)))
    number = int(random.integers(speakers))
    speaker = Speaker.draw(np.random.default_rng(fold_seed("speech-like speaker", seed, number)))
    score = write_score(random.uniform(*seconds), speaker, random)
    time = np.arange(round(len(score.voice) * BLOCK * sample_rate)) / (BLOCK * sample_rate)  # in blocks
    blocks = np.arange(len(score.voice))
    amplitude, pitch = np.interp(time, blocks, score.voice), np.interp(time, blocks, score.pitch)
    source = glottis(pitch / sample_rate, speaker, random) * amplitude
    source += speaker.breath * amplitude * random.standard_normal(len(time))
    wave = vocal_tract(source, score, speaker, sample_rate)
    wave /= max(np.abs(wave).max(), 1e-9)
    for noise in score.noises:
        add_noise(wave, noise, sample_rate, random)
    wave = at_level(wave, sample_rate, random) + random.uniform(0.0002, 0.0006) * random.standard_normal(len(wave))
    voiced = np.where(amplitude > VOICED, pitch, 0)
    return SpeechClip(torch.from_numpy(wave).float(), torch.from_numpy(voiced).float(), number)


def check_settings(sample_rate: int, seconds: Sequence[float], speakers: int) -> None:
    if sample_rate < LOWEST_RATE or speakers < 1:
        raise ValueError(f"expected sample_rate >= {LOWEST_RATE} and speakers >= 1, got {sample_rate}, {speakers}")
    if len(seconds) != 2 or not 0.3 <= seconds[0] <= seconds[1] <= 600:
        raise ValueError(f"seconds must be the shortest and longest duration, from 0.3 to 600, got {tuple(seconds)}")


def glottis(cycles: np.ndarray, speaker: Speaker, random: np.random.Generator) -> np.ndarray:
    """Derivative of the flow through the glottis, for a pitch of `cycles` per sample.

    `2 p - 3 p^2` in the open part of a period, `p` running from 0 to 1 there (Klatt and Klatt 1990), and 0 in the
    closed one. The jump between them is band-limited by a second-order polynomial, so that little of it folds back.
    """
    period = np.floor(np.cumsum(cycles)).astype(int)
    wobble = random.standard_normal((2, period[-1] + 2))
    step = cycles * (1 + speaker.jitter * wobble[0, period])
    phase = np.cumsum(step)
    number = np.minimum(phase.astype(int), wobble.shape[1] - 1)
    phase -= np.floor(phase)
    p = phase / speaker.open_quotient
    pulse = np.where(p < 1, 2 * p - 3 * p * p, 0.0)
    late = (phase - speaker.open_quotient) / step
    pulse += np.where((late >= -1) & (late < 0), 0.5 * (late + 1) ** 2, 0.0)
    pulse -= np.where((late >= 0) & (late < 1), 0.5 * (late - 1) ** 2, 0.0)
    return pulse * (1 + speaker.shimmer * wobble[1, number])


def vocal_tract(source: np.ndarray, score: Score, speaker: Speaker, sample_rate: int) -> np.ndarray:
    """`source` through a low-pass, fixed resonators, and three that are set anew every `BLOCK` seconds."""
    from scipy.signal import lfilter, sosfilt

    above = np.arange(3500, HIGHEST * sample_rate / speaker.tract, 1000.0) * speaker.tract
    tilt = np.exp(-2 * np.pi * speaker.brightness / sample_rate)
    steady = lfilter([1 - tilt], [1, -tilt], source)
    if len(above):
        poles = resonators(above, 0.1 * above, sample_rate)
        zeros = np.zeros_like(poles)
        zeros[:, 0] = poles.sum(axis=1)
        steady = sosfilt(np.concatenate((zeros, poles), axis=1), steady)
    first, second, third = np.moveaxis(resonators(score.formants, np.array([70.0, 100.0, 150.0]), sample_rate), 1, 0)
    poles = polynomial_product(polynomial_product(first, second), third)
    edges = np.round(np.arange(len(poles) + 1) * BLOCK * sample_rate).astype(int)
    state, out = np.zeros(poles.shape[1] - 1), np.empty_like(source)
    for row, start, stop in zip(poles, edges[:-1], edges[1:], strict=True):
        out[start:stop], state = lfilter(row.sum(keepdims=True), row, steady[start:stop], zi=state)
    return out


def resonators(frequency: np.ndarray, bandwidth: np.ndarray, sample_rate: int) -> np.ndarray:
    """Denominators (..., 3) of resonators: `1 - 2 r cos(2 pi F / rate) / z + r^2 / z^2`, `r = exp(-pi B / rate)` (Klatt
    1980). Their gain at 0 Hz is 1 if their numerator is the sum of the coefficients."""
    radius = np.exp(-np.pi * bandwidth / sample_rate)
    cosine = np.cos(2 * np.pi * frequency.clip(max=HIGHEST * sample_rate) / sample_rate)
    return np.stack((np.ones_like(frequency), -2 * radius * cosine, np.broadcast_to(radius**2, cosine.shape)), axis=-1)


def polynomial_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products of polynomials, row by row: (T, m) and (T, n) to (T, m + n - 1)."""
    product = np.zeros((len(a), a.shape[1] + b.shape[1] - 1))
    for i in range(a.shape[1]):
        product[:, i : i + b.shape[1]] += a[:, i : i + 1] * b
    return product


def add_noise(wave: np.ndarray, noise: Noise, sample_rate: int, random: np.random.Generator) -> None:
    """Adds band-shaped noise, relative to a voice of peak 1, fading in and out."""
    from scipy.signal import lfilter

    start, stop = (round(block * BLOCK * sample_rate) for block in (noise.start, noise.stop))
    centre = min(noise.centre, 0.4 * sample_rate)
    radius = np.exp(-np.pi * min(noise.width, 0.4 * sample_rate) / sample_rate)
    tuned = [1, -2 * radius * np.cos(2 * np.pi * centre / sample_rate), radius**2]
    hiss = lfilter([1, 0, -1], tuned, random.standard_normal(stop - start))
    fade = np.hanning(2 * len(hiss) + 1)[len(hiss) + 1 :] if noise.sudden else np.hanning(len(hiss) + 2)[1:-1] ** 0.5
    wave[start:stop] += 0.08 * noise.level * hiss / max(hiss.std(), 1e-9) * fade


def at_level(wave: np.ndarray, sample_rate: int, random: np.random.Generator) -> np.ndarray:
    """`wave` scaled to a random level such that RMS and peak are those of LJ Speech.

    Where no scale gives both, high peaks are bent (tanh), and a wave without them is stressed at its loudest place.
    """
    for _ in range(20):
        rms, peak = np.sqrt(np.mean(wave**2)), np.abs(wave).max()
        low, high = max(RMS[0] / rms, PEAK[0] / peak), min(RMS[1] / rms, PEAK[1] / peak)
        if low <= high:
            return wave * random.uniform(low, high)
        if RMS[0] / rms > PEAK[1] / peak:
            wave = np.tanh(1.5 * wave / peak)
        else:
            distance = (np.arange(len(wave)) - np.abs(wave).argmax()) / (0.1 * sample_rate)
            wave = wave * (0.8 + 0.2 * np.exp(-0.5 * distance**2))
    return wave * min(RMS[1] / rms, PEAK[1] / peak)


@lru_cache(maxsize=6)
def corpus(
    first: int,
    size: int,
    seed: int = 0,
    sample_rate: int = 22050,
    seconds: tuple[float, float] = (1.0, 3.0),
    speakers: int = 6,
) -> PackedClips:
    """Utterances `first` to `first + size - 1` of `speech_like` in 16 bits, made once in a process."""
    numbers = range(first, first + size)
    waves = [to_int16(speech_like(i, seed, sample_rate, seconds, speakers).wave)[0] for i in numbers]
    return PackedClips.pack([name_of(i) for i in numbers], waves)


def name_of(index: int) -> str:
    return f"utterance-{index:07d}"

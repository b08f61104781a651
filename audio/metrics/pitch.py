"""Fundamental frequency and voicing, tracked with pYIN (Mauch and Dixon, ICASSP 2014) through librosa."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from torch import Tensor

LOWEST, HIGHEST = 65.0, 500.0  # Hz
GROSS = 0.2  # share of the true pitch from which an error is a gross one


class PitchTrack(NamedTuple):
    """One value a frame: F0 in Hz (NaN where unvoiced), whether voiced, the probability of being voiced."""

    f0: np.ndarray
    voiced: np.ndarray
    probability: np.ndarray


def frame_of(sample_rate: int) -> int:
    """Samples of pYIN's frame: 1024 at 22,050 Hz, the power of two nearest to the same duration at other rates."""
    return 2 ** round(math.log2(1024 * sample_rate / 22050))


def track_pitch(wave: Tensor, sample_rate: int = 22050) -> PitchTrack:
    """pYIN from 65 to 500 Hz, frame 1024 and hop 256 samples at 22,050 Hz: (n,) to 1 + n // hop frames.

    Takes about a second for five seconds of audio.
    """
    try:
        import librosa
    except ImportError:
        raise ImportError("pitch tracking needs the package librosa: pip install 'flowsuite[audio]'") from None
    frame = frame_of(sample_rate)
    wave = wave.detach().cpu().double().numpy()
    f0, voiced, probability = librosa.pyin(
        wave, fmin=LOWEST, fmax=HIGHEST, sr=sample_rate, frame_length=frame, hop_length=frame // 4
    )
    return PitchTrack(f0, voiced.astype(bool), probability)


def mean_or_nan(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def rms_or_nan(values: np.ndarray) -> float:
    return math.sqrt(mean_or_nan(values**2))


def pitch_errors(recording: PitchTrack, synthesis: PitchTrack) -> dict[str, float]:
    """How far the pitch of a copy is from that of its recording; NaN where there is no frame to compare.

    - `f0_rmse_hz`, `f0_rmse_cents`: over the frames voiced in both; `1200 log2(f_x / f_y)` cents.
    - `vuv_error`: share of all frames in which one is voiced and the other is not.
    - `vuv_f1`: `2 TP / (2 TP + FP + FN)` of "voiced", the recording being the truth.
    - `gpe`: share of the frames voiced in both whose F0 is off by more than 20 %.
    - `periodicity_rmse`: of the probabilities of being voiced, over all frames.
    """
    frames = min(len(recording.f0), len(synthesis.f0))
    y, x = (PitchTrack(*(values[:frames] for values in track)) for track in (recording, synthesis))
    both = y.voiced & x.voiced
    true, ours = y.f0[both], x.f0[both]
    positives = int(y.voiced.sum() + x.voiced.sum())
    return {
        "f0_rmse_hz": rms_or_nan(ours - true),
        "f0_rmse_cents": rms_or_nan(1200 * np.log2(ours / true)),
        "vuv_error": mean_or_nan(y.voiced != x.voiced),
        "vuv_f1": 2 * int(both.sum()) / positives if positives else math.nan,
        "gpe": mean_or_nan(np.abs(ours - true) > GROSS * true),
        "periodicity_rmse": rms_or_nan(y.probability - x.probability),
    }

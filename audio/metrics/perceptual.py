"""PESQ, where its package is installed."""

from __future__ import annotations

import importlib.util
import math

from torch import Tensor

RATE = 16000  # Hz, of wide-band PESQ


def pesq_available() -> bool:
    return importlib.util.find_spec("pesq") is not None


def resample_to(wave: Tensor, sample_rate: int, target: int):
    """Polyphase resampling (320/441 from 22,050 to 16,000 Hz) with SciPy's default filter: (n,) to a NumPy array."""
    from scipy.signal import resample_poly

    common = math.gcd(sample_rate, target)
    return resample_poly(wave.detach().cpu().double().numpy(), target // common, sample_rate // common)


def pesq_wb(recording: Tensor, synthesis: Tensor, sample_rate: int = 22050) -> float:
    """Wide-band PESQ (ITU-T P.862.2), 1.04 to 4.64, of waves (n,) resampled to 16 kHz; NaN where no speech is found.

    Raises:
        ImportError: the package `pesq` is not installed.
        ValueError: the waves are below 16 kHz: there is no wide band in them.
    """
    if not pesq_available():
        raise ImportError("PESQ needs the package pesq: pip install pesq")
    if sample_rate < RATE:
        raise ValueError(f"wide-band PESQ needs waves of at least {RATE} Hz, got {sample_rate}")
    from pesq import BufferTooShortError, NoUtterancesError, pesq

    waves = (resample_to(wave, sample_rate, RATE) for wave in (recording, synthesis))
    try:
        return float(pesq(RATE, *waves, "wb"))
    except (NoUtterancesError, BufferTooShortError):
        return math.nan

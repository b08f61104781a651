"""Constant tones at the multiples of `fs / h` that a vocoder over h rows leaves where it has not learnt enough."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.audio.features.reflect import reflected

LEAST_FFT = 2048
LOBE, REACH = 4, 16  # neighbours: bins at a distance of LOBE .. REACH, beyond the main lobe of the Hann window
FLOOR = 1e-12  # of the power, relative to a full-scale tone: silence has no tones


def line_tones(wave: Tensor, height: int) -> Tensor:
    """By how many dB each multiple of `fs / height` stands out of its neighbourhood: (n,) to (ceil(height / 2) - 1,).

    `10 log10(P_k / median of P over the neighbours of k)` at the frequencies `k fs / height`, `0 < k < height / 2`.

    - P is the MEDIAN over frames of `|STFT|^2`: a tone that is always there counts in full, a harmonic of speech that
      passes through does not.
    - The STFT has a Hann window of at least 2048 samples, a multiple of `height`, so that every `k fs / height` is a
      bin; a quarter of it is the hop.
    - The neighbours are 4 to 16 bins away on either side (less than half way to the next multiple).

    About 0 on average for speech and for noise, at most 2.5 dB in LJ Speech (8 clips, h 8 and 16). Best measured on
    syntheses at temperature 0, with a recording for comparison.

    Args:
        wave: (n,), in [-1, 1].
        height: rows of the squeezed waveform: h of WaveFlow, the group of WaveGlow.
    """
    if wave.ndim != 1 or not len(wave):
        raise ValueError(f"expected a wave (samples,) of at least 1 sample, got shape {tuple(wave.shape)}")
    if height < 3:
        raise ValueError(f"line tones are at multiples of fs / height below fs / 2: height must be >= 3, got {height}")
    bins_apart = max(-(-LEAST_FFT // height), 2 * LOBE + 2)
    spectrum = median_power(wave.double(), bins_apart * height)
    reach = min(REACH, (bins_apart - 1) // 2)
    offset = torch.arange(LOBE, reach + 1, device=wave.device)
    places = bins_apart * torch.arange(1, -(-height // 2), device=wave.device)
    around = places[:, None] + torch.cat((-offset, offset))
    return 10 * (spectrum[places] / spectrum[around].median(1).values).log10()


def median_power(wave: Tensor, n_fft: int) -> Tensor:
    """Median over frames of `|STFT|^2` plus a floor, a full-scale tone being 1: (n,) to (n_fft // 2 + 1,)."""
    window = torch.hann_window(n_fft, dtype=wave.dtype, device=wave.device)
    padded = reflected(wave, 0, max(len(wave), n_fft))
    frames = torch.stft(padded, n_fft, n_fft // 4, window=window, center=False, return_complex=True)
    power = (frames.abs() / (window.sum() / 2)).square()
    return power.median(-1).values + FLOOR


def line_tone_db(wave: Tensor, height: int) -> float:
    """The strongest line tone, in dB above its neighbourhood; see `line_tones`."""
    return float(line_tones(wave, height).max())

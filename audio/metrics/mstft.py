"""Multi-resolution STFT distance."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.audio.features.reflect import reflected

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # n_fft, hop, window
FLOOR = 1e-8  # of the power


def magnitude(wave: Tensor, n_fft: int, hop: int, window: int) -> Tensor:
    """`sqrt(max(re^2 + im^2, 1e-8))` of the centred Hann STFT: (..., n) to (..., n_fft // 2 + 1, frames)."""
    samples = wave.shape[-1]
    flat = wave.reshape(-1, samples)
    padded = reflected(flat, -(n_fft // 2), samples + n_fft // 2)
    taper = torch.hann_window(window, dtype=wave.dtype, device=wave.device)
    spectrum = torch.stft(padded, n_fft, hop, window, taper, center=False, return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    return power.clamp(min=FLOOR).sqrt().reshape(*wave.shape[:-1], *power.shape[1:])


def mstft(recording: Tensor, synthesis: Tensor) -> Tensor:
    """`mean over resolutions of ||Y - X||_F / ||Y||_F + mean |ln Y - ln X|`, Y of the recording: (..., n) to (...).

    The resolutions (n_fft, hop, window) are (1024, 120, 600), (2048, 240, 1200) and (512, 50, 240) samples whatever the
    rate (Yamamoto et al., arXiv 1910.11480; auraloss' `MultiResolutionSTFTLoss` with its default settings).
    """
    total = 0
    for resolution in RESOLUTIONS:
        y, x = magnitude(recording, *resolution), magnitude(synthesis, *resolution)
        convergence = torch.linalg.matrix_norm(y - x) / torch.linalg.matrix_norm(y)
        total = total + convergence + (y.log() - x.log()).abs().mean((-2, -1))
    return total / len(RESOLUTIONS)

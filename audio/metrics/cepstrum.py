"""Mel-cepstral distortion."""

from __future__ import annotations

import math

import torch
from torch import Tensor

DECIBELS = 10 * math.sqrt(2) / math.log(10)


def cepstrum(mel: Tensor, coefficients: int = 13) -> Tensor:
    """`c_k = (1/M) sum_b L_b cos(pi k (b + 0.5) / M)`, k = 1 .. K: log-mel (M, frames) to (K, frames).

    The true-cepstrum scale: the orthonormal DCT-II divided by `sqrt(2 M)`; the loudness `c_0` is left out.
    """
    bands = mel.shape[0]
    k = torch.arange(1, coefficients + 1, dtype=mel.dtype, device=mel.device)
    b = torch.arange(bands, dtype=mel.dtype, device=mel.device)
    return torch.cos(math.pi * k[:, None] * (b + 0.5) / bands) @ mel / bands


def mel_cepstral_distortion(recording: Tensor, synthesis: Tensor, coefficients: int = 13) -> float:
    """MCD in dB: `mean over frames of (10 sqrt(2) / ln 10) ||c_y - c_x||_2`, frame by frame without time warping.

    Of natural-log mels (M, frames). The scale is that of WORLD or SPTK mel-cepstra, but the figures don't compare.
    """
    difference = cepstrum(recording, coefficients) - cepstrum(synthesis, coefficients)
    return DECIBELS * float(torch.linalg.vector_norm(difference, dim=0).mean())

"""On which frequency axis the harmonics of voiced speech are equally spaced: tells a mel's scale from its content."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowsuite.audio.features.spec import MelSpec

LOWEST, HIGHEST = 120.0, 1500.0  # Hz, where 80 bands resolve harmonics
PITCHES = (100.0, 350.0, 120)  # Hz, how many
TREND = 5  # coefficients of the polynomial that is taken off every frame: formants and tilt
LEAST_FRAMES = 20


def band_centres(spec: MelSpec) -> Tensor:
    """The peaks of the triangles in Hz, (n_mels,) float64.

    HTK: `mel = 2595 log10(1 + f / 700)`. Slaney: `f / (200/3)` below 1 kHz, `15 + 27 ln(f / 1000) / ln 6.4` above.
    """
    mels = torch.linspace(*(to_mel(f, spec.scale) for f in (spec.fmin, spec.highest)), spec.n_mels + 2)[1:-1].double()
    if spec.scale == "htk":
        return 700 * (10 ** (mels / 2595) - 1)
    return torch.where(mels < 15, mels * 200 / 3, 1000 * torch.exp((mels - 15) * math.log(6.4) / 27))


def to_mel(hertz: float, scale: str) -> float:
    if scale == "htk":
        return 2595 * math.log10(1 + hertz / 700)
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def harmonicity(level: Tensor, spec: MelSpec) -> float | None:
    """How well the loudest frames fit `cos(2 pi f / f0)` for their best f0, if the bands are where `spec` says.

    The correlation of a frame's level between 120 and 1500 Hz with the comb, both without their polynomial trend,
    weighted by the bands' widths; the mean over the best third of the frames that are louder than average. About 0.9
    for genuine speech on the right axis, 0.6 on another. None if there are too few bands or frames.

    Args:
        level: natural-log mel (n_mels, F).
        spec: gives the axis.
    """
    centres = band_centres(spec).to(level.device)
    keep = (centres > LOWEST) & (centres < HIGHEST)
    loud = level.mean(0) > level.mean()
    if keep.sum() < 2 * TREND or loud.sum() < LEAST_FRAMES:
        return None
    centres, frames = centres[keep], level[keep][:, loud].double()
    weight = torch.gradient(centres)[0].sqrt()[:, None]
    powers = torch.arange(TREND, device=level.device)
    trend = torch.linalg.qr((centres[:, None] / HIGHEST) ** powers * weight).Q
    pitches = torch.linspace(math.log(PITCHES[0]), math.log(PITCHES[1]), PITCHES[2], device=level.device).double().exp()
    combs = detrended(torch.cos(2 * math.pi * centres[:, None] / pitches) * weight, trend)
    fit = (combs.T @ detrended(frames * weight, trend)).amax(0)
    return float(fit.topk(-(-len(fit) // 3)).values.mean())


def detrended(columns: Tensor, trend: Tensor) -> Tensor:
    """Columns of unit length without their part in the space of `trend`."""
    rest = columns - trend @ (trend.T @ columns)
    return rest / torch.linalg.vector_norm(rest, dim=0).clamp(min=1e-12)

"""Pictures of spectrograms, for TensorBoard and PNG files; no plotting library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.audio.features.reflect import reflected
from flowsuite.core.training.pictures import write_png
from flowsuite.core.training.plots import cubehelix

RANGE_DB = 80.0
QUIETEST_TOP_DB = -40.0  # below a full-scale tone: silence is black
LOWEST = 50.0  # Hz, at the bottom of the picture
TICKS = (100, 200, 500, 1000, 2000, 5000, 10000, 20000)  # Hz
TITLE, MARGIN = 16, 44  # pixels above a panel, and left of it


def spectrogram_picture(waves: Mapping[str, Tensor], sample_rate: int, height: int = 160, width: int = 640) -> Tensor:
    """Spectrograms one above the other, (3, H, W) in [0, 1], ready for TensorBoard's `add_image`.

    Time runs to the right over the longest wave, frequency upwards, logarithmic from 50 Hz to half the sample rate. The
    brightness is `20 log10 |STFT|` (Hann, 46 ms) over the 80 dB below the loudest point of the first wave: the panels
    compare in loudness as well.

    Args:
        waves: title -> wave (n,), the recording first.
        sample_rate: Hz.
        height, width: pixels of one panel without its margins.
    """
    if not waves:
        raise ValueError("expected at least one wave to draw")
    waves = {name: as_wave(wave, name) for name, wave in waves.items()}
    longest = max(len(wave) for wave in waves.values())
    levels = [log_magnitude(wave, longest, sample_rate, height, width) for wave in waves.values()]
    top = max(float(levels[0].max()), QUIETEST_TOP_DB)
    panels = []
    for name, picture in zip(waves, levels, strict=True):
        coloured = cubehelix(((picture - top + RANGE_DB) / RANGE_DB).clamp(0, 1))
        seconds = len(waves[name]) / sample_rate
        panels.append(framed(coloured, f"{name} ({seconds:.2f} s)", sample_rate))
    return torch.cat(panels, 1).float() / 255


def save_spectrogram(path: str | Path, waves: Mapping[str, Tensor], sample_rate: int, **size: int) -> Path:
    """Writes `spectrogram_picture` as a PNG, atomically."""
    picture = spectrogram_picture(waves, sample_rate, **size)
    return write_png(path, (picture * 255).round().to(torch.uint8))


def as_wave(wave: Tensor, name: str) -> Tensor:
    wave = torch.as_tensor(wave).detach().cpu().float()
    if wave.ndim != 1 or not len(wave):
        raise ValueError(f"{name}: expected a wave (samples,) of at least 1 sample, got {tuple(wave.shape)}")
    return wave.nan_to_num(0, 0, 0).clamp(-1e4, 1e4)


def log_magnitude(wave: Tensor, longest: int, sample_rate: int, height: int, width: int) -> Tensor:
    """`20 log10 |STFT|` of the wave, (height, width), `longest` samples wide, with silence behind its end."""
    n_fft = 2 ** round(np.log2(1024 * sample_rate / 22050))
    hop = max(1, longest // width)
    padded = torch.nn.functional.pad(reflected(wave, -(n_fft // 2), len(wave)), (0, longest - len(wave) + n_fft))
    spectrum = torch.stft(padded, n_fft, hop, window=torch.hann_window(n_fft), center=False, return_complex=True).abs()
    level = 20 * (spectrum / (n_fft / 4)).clamp(min=1e-6).log10()
    columns = torch.linspace(0, longest / hop, width + 1)[:-1].long().clamp(max=level.shape[1] - 1)
    bins = torch.logspace(*np.log10([sample_rate / 2, LOWEST]), height) * n_fft / sample_rate
    low = bins.floor().long().clamp(max=n_fft // 2 - 1)
    return torch.lerp(level[low], level[low + 1], (bins - low)[:, None])[:, columns]


def framed(panel: Tensor, title: str, sample_rate: int) -> Tensor:
    """A panel (3, h, w) uint8 with its title above and frequencies on its left."""
    from PIL import Image, ImageDraw

    _, height, width = panel.shape
    canvas = Image.new("RGB", (width + MARGIN, height + TITLE), "white")
    canvas.paste(Image.fromarray(panel.permute(1, 2, 0).contiguous().numpy()), (MARGIN, TITLE))
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, 2), title.encode("latin-1", "replace").decode("latin-1"), fill="black")
    span = np.log(sample_rate / 2 / LOWEST)
    for hertz in (tick for tick in TICKS if tick < sample_rate / 2):
        y = TITLE + (height - 1) * (1 - np.log(hertz / LOWEST) / span)
        label = f"{hertz // 1000}k" if hertz >= 1000 else str(hertz)
        draw.line([(MARGIN - 4, y), (MARGIN - 1, y)], fill="black")
        draw.text((MARGIN - 8, y), label, fill="black", anchor="rm")
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1)

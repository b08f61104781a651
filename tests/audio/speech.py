"""Real speech for the tests, if it's there."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

SHARED = Path(os.environ.get("FLOWSUITE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "audio"


def lj_clips(first: int = 0, last: int | None = None) -> list[Tensor]:
    """Clips of LJ Speech, (n,) float32 at 22,050 Hz, in order of names; the test is skipped where there are none."""
    import soundfile

    paths = sorted((SHARED / "LJSpeech-1.1" / "wavs").glob("*.wav"))
    if not paths:
        pytest.skip(f"no LJ Speech in {SHARED}")
    return [torch.from_numpy(soundfile.read(path, dtype="float32")[0]) for path in paths[first:last]]


def digits(step: int = 1) -> list[Tensor]:
    """Every `step`-th spoken digit, (n,) float32 at 8 kHz; the test is skipped where there are none."""
    import soundfile

    path = SHARED / "fsdd_train.zip"
    if not path.exists():
        pytest.skip(f"{path} not found")
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".wav"))[::step]
        waves = (soundfile.read(io.BytesIO(archive.read(name)), dtype="float32")[0] for name in names)
        return [torch.from_numpy(wave) for wave in waves]


def voice(samples: int = 22050, rate: int = 22050, f0: float = 180.0) -> Tensor:
    """A vowel with a gliding pitch and a pause: (n,) float32 with a peak of about 0.6."""
    t = torch.arange(samples, dtype=torch.float64) / rate
    phase = 2 * torch.pi * (f0 * t + 20 * t**2)
    orders = [k for k in range(1, 40) if k * (f0 + 60) < rate / 2]
    wave = sum(torch.cos(k * phase) * (1 / k + 0.5 * (abs(k * f0 - 700) < 150)) for k in orders)
    wave = wave * (0.5 - 0.5 * torch.cos(2 * torch.pi * 2 * t)) ** 0.5
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (0.6 * wave / wave.abs().max().clamp(min=1e-6) + 5e-4 * noise).float()

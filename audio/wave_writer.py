"""A WAV file written while its samples are still being made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import soundfile
import torch
from torch import Tensor

from flowsuite.audio.wave_files import to_int16
from flowsuite.core.training.files import atomic_write


class Written(NamedTuple):
    """Samples of a file, and how many of them were clipped."""

    samples: int
    clipped: int


def write_pieces(path: str | Path, pieces: Iterable[Tensor], sample_rate: int) -> Written:
    """Writes the pieces (n,) of a wave in [-1, 1) as one mono 16-bit WAV, clipped, never wrapped.

    One piece is in memory at a time. The file has its name only once it is whole.

    Raises:
        ValueError: there are no samples, or some are not finite; no file is left.
    """
    samples = clipped = 0
    with (
        atomic_write(path) as file,
        soundfile.SoundFile(file, "w", int(sample_rate), channels=1, format="WAV", subtype="PCM_16") as sound,
    ):
        for piece in pieces:
            bad = int((~torch.isfinite(piece)).sum())
            if bad:
                raise ValueError(f"{path}: {bad} samples from number {samples} on are not finite numbers")
            whole, over = to_int16(piece.cpu())
            sound.write(whole.numpy())
            samples, clipped = samples + len(whole), clipped + over
        if not samples:
            raise ValueError(f"{path}: expected a waveform of at least 1 sample, got none")
    return Written(samples, clipped)

"""What `flowsuite sample` makes with a vocoder: clips said anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from flowsuite.audio.sources import SourceReader, list_sources
from flowsuite.audio.wave_files import write_wave

if TYPE_CHECKING:
    from flowsuite.audio.module import VocoderModule


class Spoken(NamedTuple):
    """Synthesised clips: waves (n,) on the CPU, and the names of what they were made from."""

    waves: list[Tensor]
    names: list[str]


def speak(
    module: VocoderModule,
    n: int,
    source: str,
    first: int,
    temperature: float,
    generator: torch.Generator | None,
    precision: str = "32",
) -> Spoken:
    """Samples `first` to `first + n - 1` from the audio or spectrograms in a file or folder, which they take in turn.

    Every sample has noise of its own, also where two are of the same clip.
    """
    from flowsuite.audio.synthesis import Synthesizer

    files = list_sources([source])
    seed = torch.randint(2**62, (1,), generator=generator, device=module.device if generator else "cpu").item()
    read = SourceReader(module.mel)
    known = {i: read(files[i]) for i in sorted({k % len(files) for k in range(first, first + n)})}
    sources = [known[k % len(files)] for k in range(first, first + n)]
    synthesizer = Synthesizer(module, temperature, seed, precision=precision)
    waves = synthesizer([replace(s, name=f"{s.name}/{first + i}") for i, s in enumerate(sources)])
    return Spoken(waves, [s.name for s in sources])


def save_spoken(spoken: Spoken, out: Path, first: int, sample_rate: int) -> list[Path]:
    """Writes `000012_name.wav` for sample number 12; the paths."""
    paths = []
    for number, (wave, name) in enumerate(zip(spoken.waves, spoken.names, strict=True), first):
        paths.append(Path(out) / f"{number:06d}_{name.replace('/', '_')}.wav")
        write_wave(paths[-1], wave, sample_rate)
    return paths

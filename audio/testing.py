"""Copy-synthesis of test clips by a trained model, measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import track
from torch import Tensor

from flowsuite.audio.griffin_lim import mel_griffin_lim
from flowsuite.audio.metrics.table import average, copy_synthesis_metrics, format_table
from flowsuite.audio.segments import AudioBatch
from flowsuite.audio.wave_files import write_wave
from flowsuite.core.training.files import atomic_write, make_folder
from flowsuite.core.training.seeding import fold_seed, global_seed

if TYPE_CHECKING:
    from flowsuite.audio.module import VocoderModule

REPORT = "copy_synthesis.json"
WAVES = "copy_synthesis"


def copy_synthesis_report(module: VocoderModule, data: Any, folder: Path) -> dict[str, float]:
    """Prints the metric table of the model and of Griffin-Lim, writes it and the waves; the model's figures by name.

    The clips are the first `module.test_clips` of the test set by name.
    """
    rows = {"this model": [], "Griffin-Lim": []}
    waves = make_folder(folder / WAVES)
    clips = list(clips_of(module, data))
    for name, recording, mel in track(clips, "copy-synthesis"):
        synthesis = copy_synthesis(module, name, mel, module.test_temperature)[: len(recording)]
        baseline = mel_griffin_lim(mel.cpu(), module.spec)[0][: len(recording)]
        made = {"this model": synthesis, "Griffin-Lim": baseline}
        for system, wave in made.items():
            height = module.flow.height if system == "this model" else None
            rows[system].append(copy_synthesis_metrics(recording, wave, module.spec, height=height))
        for kind, wave in {"recording": recording, "synthesis": synthesis}.items():
            write_wave(waves / f"{name.replace('/', '_')}.{kind}.wav", wave, module.spec.sample_rate)
    averages = {system: average(figures) for system, figures in rows.items()}
    print(f"Copy-synthesis of {len(clips)} test clips at temperature {module.test_temperature:g}")
    print(format_table(averages))
    figures = {name: value.mean for name, value in averages["this model"].items()}
    report = {system: {name: value.mean for name, value in found.items()} for system, found in averages.items()}
    report |= {"clips": [name for name, _, _ in clips], "temperature": module.test_temperature}
    with atomic_write(folder / REPORT) as file:
        file.write((json.dumps(report, indent=2) + "\n").encode())
    module.print(f"waves: {waves}, figures: {folder / REPORT}")
    return figures


def clips_of(module: VocoderModule, data: Any) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, recording (n,), mel (1, n_mels, F)) of the test clips, by name."""
    items = data.dataset("test")
    for i in sorted(range(len(items)), key=items.names.__getitem__)[: module.test_clips]:
        batch = items.__getitems__([i])
        x, mels = module.unpack(AudioBatch(*(t.to(module.device) for t in batch)))
        yield items.names[i], x[0].cpu(), mels.mel


@torch.no_grad()
def copy_synthesis(module: VocoderModule, name: str, mel: Tensor, temperature: float) -> Tensor:
    """The waveform (n,) of a mel (1, n_mels, F), on the CPU; its noise is a function of the run's seed and the name."""
    generator = torch.Generator(module.device).manual_seed(fold_seed(global_seed(), "copy-synthesis", name))
    return module.flow.sample(context=mel, temperature=temperature, generator=generator)[0].cpu()

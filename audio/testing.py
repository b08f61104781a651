"""Copy-synthesis of test clips by a trained model, measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import track

from flowsuite.audio.comparison import MODEL, Comparison
from flowsuite.audio.sources import source_of_wave
from flowsuite.audio.wave_files import write_wave
from flowsuite.core.training.files import make_folder
from flowsuite.core.training.seeding import global_seed
from flowsuite.core.wording import plural

if TYPE_CHECKING:
    from flowsuite.audio.module import VocoderModule

REPORT = "copy_synthesis.json"
WAVES = "copy_synthesis"


@torch.no_grad()
def copy_synthesis_report(module: VocoderModule, data: Any, folder: Path) -> dict[str, float]:
    """Prints the metric table of the model and of Griffin-Lim, writes it and the waves; the model's figures by name.

    The clips are the first `module.test_clips` of the test set by name; the noise of each is a function of the run's
    seed and its name.
    """
    from flowsuite.audio.synthesis import Synthesizer

    synthesizer = Synthesizer(module, module.test_temperature, global_seed())
    found, waves = Comparison(module.spec, module.flow.height), make_folder(folder / WAVES)
    clips = data.clips("test")
    chosen = sorted(range(len(clips)), key=clips.names.__getitem__)[: module.test_clips]
    for i in track(chosen, "copy-synthesis"):
        name, recording = clips.names[i], clips.wave(i)
        source = source_of_wave(name, recording, module.mel)
        synthesis = synthesizer([source])[0]
        found.add(source, synthesis)
        for kind, wave in {"recording": recording, "synthesis": synthesis}.items():
            write_wave(waves / f"{name.replace('/', '_')}.{kind}.wav", wave, module.spec.sample_rate)
    module.print(f"copy-synthesis of {plural(len(found), 'test clip')} at temperature {module.test_temperature:g}")
    module.print(found.table())
    path = found.save(folder / REPORT, names=[clips.names[i] for i in chosen], temperature=module.test_temperature)
    module.print(f"waves: {waves}, figures: {path}")
    return {name: value.mean for name, value in found.averages()[MODEL].items()}

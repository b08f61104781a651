"""The audio part of `flowsuite demo`: a small WaveFlow on made-up speech."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from flowsuite.audio.comparison import MODEL
from flowsuite.audio.data import SpeechLike
from flowsuite.audio.metrics.table import Average, format_table
from flowsuite.audio.vocode import main as vocode
from flowsuite.audio.wave_files import write_wave
from flowsuite.core.training import inputs
from flowsuite.core.training.demo import Section, train_recipe
from flowsuite.core.training.files import make_folder, read_json

RECIPE = "audio/demo"
NEEDS = ("librosa", "soundfile", "torchaudio")
SECONDS = 215
CLIPS, PLAYED = 6, 3
TEMPERATURE = "0.65"


def run(folder: Path, options: Sequence[str] = ()) -> Section:
    """Trains `audio/demo`, then says test clips anew from their mels alone; all lands in `folder`.

    `options` are further options of `flowsuite fit`.
    """
    checkpoint, command = train_recipe(RECIPE, folder, options, "last")
    data = inputs.recipe_data(RECIPE, {}, {"SpeechLike": SpeechLike}, "flowsuite.audio.data", "a recipe")
    recordings, copies, report = make_folder(folder / "recordings"), folder / "copies", folder / "metrics.json"
    clips = data.clips("test")
    names = [name.replace("/", "_") for name in clips.names[:CLIPS]]
    for i, name in enumerate(names):
        write_wave(recordings / f"{name}.wav", clips.wave(i), data.spec.sample_rate)
    said = [str(recordings), "--ckpt_path", str(checkpoint), "--out", str(copies), "--temperature", TEMPERATURE]
    said += ["--spectrogram", "--metrics", "--baseline", "--json", str(report), "--overwrite"]
    vocode(said)
    figures = []
    for name in names[:PLAYED]:
        figures += [
            (recordings / f"{name}.wav", f"{name}: as it was made"),
            (copies / f"{name}.wav", f"{name}: said anew from its mel spectrogram alone"),
            (copies / f"{name}.png", "above the original, below what the model made of its mel"),
        ]
    systems = read_json(report)["systems"]
    return Section(
        title="Audio: WaveFlow on made-up speech",
        text=describe(systems[MODEL]),
        headline={f"M-STFT, {name}": f"{found['mstft']:.3f}" for name, found in systems.items()},
        checkpoint=checkpoint,
        table=format_table({system: as_averages(figures) for system, figures in systems.items()}),
        figures=figures,
        commands=[
            command,
            f"# recordings holds the first {CLIPS} test clips of the recipe's data",
            shlex.join(["flowsuite", "vocode", *said]),
        ],
    )


def as_averages(figures: dict[str, float | None]) -> dict[str, Average]:
    return {name: Average(float("nan") if value is None else value, CLIPS) for name, value in figures.items()}


def describe(figures: dict[str, float | None]) -> str:
    """What the metrics say of the model, in a sentence."""
    cents = figures.get("f0_rmse_cents")
    pitch = "No clip was voiced enough to follow its pitch. "
    if cents is not None:
        pitch = (
            f"Where both are voiced, its pitch is {cents:.0f} cents from the original's (root mean square; a semitone "
            f"is 100), and {figures['vuv_error']:.0%} of the frames change between voiced and unvoiced. "
        )
    return (
        f"{CLIPS} test clips were analysed to log-mel spectrograms and synthesised again from these alone, at "
        f"temperature {TEMPERATURE}. {pitch}Griffin-Lim, which needs no training, is in the table for comparison."
    )

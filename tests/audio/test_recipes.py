"""Every packaged recipe goes through the command line's own parser and trains two steps on made data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import flowsuite.audio
from flowsuite.core.training.recipes import FIELDS, read_header
from tests.audio.waves_made import samples, write, write_digits, write_lj

FOLDER = Path(flowsuite.audio.__file__).parent / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
PUBLISHED = {"": (16, 64), "-c96": (16, 96), "-c128": (16, 128), "-c256": (16, 256), "-h8": (8, 64)} | {
    "-h32": (32, 64),
    "-h64": (64, 64),
}
PARTS = ("train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "test-clean")
SMALL = {"channels": 2, "n_flows": 2, "n_layers": 2}

pytestmark = pytest.mark.filterwarnings("ignore:the dilations|.*(split in proportion|no takes 0 to 4|resampled)")


def config(recipe: str) -> dict:
    return yaml.safe_load((FOLDER / f"{recipe}.yaml").read_text())


def write_data(name: str, root: Path) -> dict:
    """Writes what data module `name` reads, and returns the options that lead there."""
    if name == "SpeechLike":
        return {"train": 4, "val": 2, "test": 2}
    if name == "LJSpeech":
        return {"root": write_lj(root)}
    if name == "FreeSpokenDigits":
        return {"root": write_digits(root)}
    if name == "AudioFolder":
        for k in range(10):
            write(root / f"{k}.wav", samples(k))
    elif name == "LibriTTS":
        for k, part in enumerate(PARTS):
            for n in range(2):
                write(root / part / f"10{k}" / "7" / f"10{k}_7_000_{n}.wav", samples(n), 24000)
    elif name == "VCTK":
        for speaker in range(18):
            name = f"p{speaker}/p{speaker}_000_mic1.flac"
            write(root / "wav48_silence_trimmed" / name, samples(speaker, 6600), 48000)
    else:
        raise AssertionError(f"no made data for {name}: add it here")
    return {"root": root}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_trains_two_steps(recipe, tmp_path, monkeypatch):
    from flowsuite.core.training.lightning_cli import FlowCLI

    monkeypatch.chdir(tmp_path)
    given = config(recipe)
    flow = given["model"]["init_args"]["flow"]
    options = write_data(given["data"]["class_path"].rpartition(".")[2], tmp_path / "set")
    options |= {"batch_size": 2, "num_workers": 0, "crop_samples": 600}
    overrides = {f"data.init_args.{key}": value for key, value in options.items()}
    overrides |= {f"model.init_args.flow.init_args.{key}": value for key, value in SMALL.items()}
    overrides |= {"trainer.accelerator": "cpu", "trainer.devices": 1, "trainer.logger": "false"}
    overrides |= {"trainer.limit_val_batches": 1, "trainer.enable_progress_bar": "false", "trainer.max_steps": 2}
    overrides |= {"trainer.val_check_interval": 2, "trainer.limit_train_batches": 2}
    overrides |= {"trainer.check_val_every_n_epoch": 1, "trainer.enable_model_summary": "false"}
    arguments = [f"--{key}={value}" for key, value in overrides.items()]
    cli = FlowCLI(["fit", "--config", f"audio/{recipe}", *arguments])
    assert cli.trainer.global_step == 2
    assert cli.model.spec == cli.datamodule.spec
    assert type(cli.model.flow).__name__ == flow["class_path"].rpartition(".")[2]
    assert torch.isfinite(cli.trainer.callback_metrics["val/ll"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_says_what_it_is(recipe):
    header = read_header(FOLDER / f"{recipe}.yaml")
    assert all(header.get(field) for field in FIELDS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_set_ups_are_those_of_the_paper(name):
    given = config(f"waveflow-ljspeech{name}")
    model, flow = given["model"]["init_args"], given["model"]["init_args"]["flow"]["init_args"]
    assert (flow["height"], flow["channels"]) == PUBLISHED[name]
    assert (flow["n_flows"], flow["n_layers"], flow["permutation"]) == (8, 8, "bipartite")
    assert model["optimizer"] == {"class_path": "torch.optim.Adam", "init_args": {"lr": 2e-4}}
    assert (given["data"]["init_args"]["batch_size"], given["data"]["init_args"]["crop_samples"]) == (8, 16000)

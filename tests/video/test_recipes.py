"""Every packaged recipe goes through the command line's own parser and trains two steps on made data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import flowsuite.video
from flowsuite.core.training.recipes import FIELDS, read_header
from flowsuite.video.presets import PRESETS
from tests.video.containers import pixels, write_bair

FOLDER = Path(flowsuite.video.__file__).parent / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SMALL = {"steps": 1, "width": 4, "prior_blocks": 1, "prior_width": 4}


def config(recipe: str) -> dict:
    return yaml.safe_load((FOLDER / f"{recipe}.yaml").read_text())


def write_data(name: str, root: Path) -> dict:
    """Writes what a data module reads, and returns the options that lead there."""
    if name == "BAIR":
        write_bair(root, frames=16)
        return {"root": str(root)}
    if name in ("KTH", "VideoFolder"):
        root.mkdir()
        for i, person in enumerate((1, 2, 17, 21)):
            shape = (13, 64, 64, 1 if name == "KTH" else 3)
            np.save(root / f"person{person:02d}_walking_d1_uncomp.npy", pixels(*shape, seed=i))
        return {"root": str(root)} | ({"val": 1, "test": 1} if name == "VideoFolder" else {})
    return {"videos": 4, "val_videos": 2, "test_videos": 2}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_trains_two_steps(recipe, tmp_path, monkeypatch):
    from flowsuite.core.training.lightning_cli import FlowCLI

    monkeypatch.chdir(tmp_path)
    given = config(recipe)
    model, data = given["model"]["init_args"], given["data"]
    context = model["context_frames"]
    frames = context + 2
    options = {**write_data(data["class_path"].rpartition(".")[2], tmp_path / "set"), "batch_size": 2, "num_workers": 0}
    options |= {"num_frames": frames, "eval_frames": frames}
    overrides = {f"data.init_args.{key}": value for key, value in options.items()}
    overrides |= {f"model.init_args.flow.init_args.{key}": value for key, value in SMALL.items()}
    overrides |= {"model.init_args.num_frames": frames, "model.init_args.init_batches": 1}
    overrides |= {"trainer.accelerator": "cpu", "trainer.devices": 1, "trainer.logger": "false"}
    overrides |= {"trainer.limit_val_batches": 1, "trainer.enable_progress_bar": "false", "trainer.max_steps": 2}
    overrides |= {"trainer.max_epochs": -1, "trainer.limit_train_batches": 1, "trainer.val_check_interval": 1}
    overrides |= {"trainer.check_val_every_n_epoch": 1, "trainer.enable_model_summary": "false"}
    overrides |= {"trainer.num_sanity_val_steps": 0}
    cli = FlowCLI(["fit", "--config", f"video/{recipe}", *(f"--{key}={value}" for key, value in overrides.items())])
    assert cli.trainer.global_step == 2
    assert torch.isfinite(cli.trainer.callback_metrics["val/bits_per_dim"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_says_what_it_is(recipe):
    header = read_header(FOLDER / f"{recipe}.yaml")
    assert all(header.get(field) for field in FIELDS)


@pytest.mark.parametrize("recipe", RECIPES)
def test_model_and_data_agree(recipe):
    given = config(recipe)
    model, data = given["model"]["init_args"], given["data"]["init_args"]
    assert model["context_frames"] == data["context_frames"] and model["num_frames"] == data["num_frames"]


@pytest.mark.parametrize("name", PRESETS)
def test_published_set_ups_are_the_presets(name):
    given = config(name)["model"]["init_args"]
    flow = {key: tuple(value) if isinstance(value, list) else value for key, value in PRESETS[name].items()}
    for key, value in flow.items():
        found = given["flow"]["init_args"][key]
        assert (tuple(found) if isinstance(found, list) else found) == value, key
    adam = given["optimizer"]["init_args"]
    assert (adam["betas"], adam["eps"], given["warmup_steps"]) == ([0.85, 0.997], 1e-6, 10000)
    assert adam["lr"] == (1e-4 if name == "shapes" else 3e-4)

"""Every packaged recipe goes through the command line's own parser and trains two steps on made data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import flowsuite.pointclouds
from flowsuite.core.training.recipes import FIELDS, read_header
from tests.pointclouds.files import write_pc15k

FOLDER = Path(flowsuite.pointclouds.__file__).parent / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SYNSETS = {"airplane": "02691156", "chair": "03001627", "car": "02958343"}
SMALL = {"zdim": 4, "hidden": [8, 8], "latent_hidden": [8], "encoder_widths": [8], "encoder_head": [8]}


def config(recipe: str) -> dict:
    return yaml.safe_load((FOLDER / f"{recipe}.yaml").read_text())


def write_data(data: dict, root: Path) -> dict:
    """Writes what the data module of a recipe reads, and returns the options that lead there."""
    if data["class_path"].endswith(".Shapes"):
        return {"train": 4, "val": 2, "test": 2, "rows": 60}
    write_pc15k(root, tuple(SYNSETS.values()))
    return {"root": str(root)}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_trains_two_steps(recipe, tmp_path, monkeypatch):
    from flowsuite.core.training.lightning_cli import FlowCLI

    monkeypatch.chdir(tmp_path)
    given = config(recipe)
    flow = given["model"]["init_args"]["flow"]["init_args"]
    options = {**write_data(given["data"], tmp_path / "set"), "batch_size": 2, "num_workers": 0}
    options |= {"points": 16, "eval_points": 16}
    overrides = {f"data.init_args.{key}": value for key, value in options.items()}
    overrides |= {f"model.init_args.flow.init_args.{key}": value for key, value in SMALL.items()}
    overrides |= {"model.init_args.sample_points": 8, "model.init_args.times": 2}
    overrides |= {"trainer.accelerator": "cpu", "trainer.devices": 1, "trainer.logger": "false"}
    overrides |= {"trainer.limit_val_batches": 1, "trainer.enable_progress_bar": "false", "trainer.max_steps": 2}
    overrides |= {"trainer.max_epochs": -1, "trainer.limit_train_batches": 2}
    overrides |= {"trainer.check_val_every_n_epoch": 1, "trainer.enable_model_summary": "false"}
    arguments = [f"--{key}={value}" for key, value in overrides.items()]
    cli = FlowCLI(["fit", "--config", f"pointclouds/{recipe}", *arguments])
    assert cli.trainer.global_step == 2
    assert cli.model.flow.encoder.log_var is None if flow.get("deterministic") else cli.model.flow.latent is not None
    assert torch.isfinite(cli.trainer.callback_metrics["val/loss"])
    assert torch.isfinite(cli.trainer.callback_metrics["val/cd"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_says_what_it_is(recipe):
    header = read_header(FOLDER / f"{recipe}.yaml")
    assert all(header.get(field) for field in FIELDS)


@pytest.mark.parametrize("name", SYNSETS)
def test_published_set_ups_are_those_of_the_paper(name):
    given = config(f"pointflow-{name}")
    model, flow = given["model"]["init_args"], given["model"]["init_args"]["flow"]["init_args"]
    assert model["objective"] == "likelihood" and model["optimizer"]["init_args"]["lr"] == 2e-3
    assert (flow["zdim"], flow["hidden"], flow["latent_hidden"]) == (128, [512] * 3, [256] * 2)
    assert flow["divergence"] == "hutchinson" and flow["batch_norm"] and flow["end_time"] == 0.5
    assert flow["solver"]["init_args"] == {"method": "dopri5", "rtol": 1e-5, "atol": 1e-5}
    assert model["lr_scheduler"]["init_args"]["total"] == given["trainer"]["max_epochs"] == 4000
    assert given["data"]["init_args"]["points"] == 2048 and given["data"]["init_args"]["categories"] == [name]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model.init_args.objective", "magic"], "unknown objective 'magic'"),
        (["--model.init_args.flow.init_args.layer", "gated"], "unknown layer type 'gated'"),
        (["--model.init_args.flow.init_args.num_blocks", "2"], "exactly one continuous layer"),
    ],
)
def test_wrong_options_get_one_short_line(argv, message, tmp_path, monkeypatch, capsys):
    from flowsuite.core.training import cli

    monkeypatch.chdir(tmp_path)
    assert cli.main(["fit", "--config", "pointclouds/demo", *argv]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error and len(error) < 200

"""The recipes of autoencoders: complete, buildable, trained two steps on made data, as published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import flowsuite.images
from flowsuite.core.training.checkpoint import build_module
from flowsuite.images import data
from tests.images import containers

FOLDER = Path(flowsuite.images.__file__).parent / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("vae-*.yaml"))
KINDS = ("gaussian", "planar", "iaf", "orthogonal", "householder", "triangular", "cnf")
WRITERS = {
    "LarochelleMNIST": containers.write_amat,
    "Omniglot": containers.write_omniglot,
    "CaltechSilhouettes": containers.write_caltech,
    "BinaryMNIST": lambda root: containers.write_mnist(root, n=40),
    "FreyFaces": lambda root: containers.write_freyfaces(root / "f.pkl"),
    "BinaryDigits": lambda root: None,
}
TRAINED = ["vae-demo", "vae-mnist-reduced", "vae-mnist-planar", "vae-omniglot-iaf", "vae-caltech-cnf"]
TRAINED += ["vae-freyfaces-householder"]


def config(recipe: str) -> dict:
    return yaml.safe_load((FOLDER / f"{recipe}.yaml").read_text())


def small_flow(given: dict) -> dict[str, object]:
    """Options that make a model small."""
    name = given["posterior"]
    options = {"iaf": {"hidden_features": 8}, "cnf": {"hidden": [4], "rank": 2}, "orthogonal": {"columns": 2}}
    chosen = {"latent_dims": 4, "n_layers": 2, "features": 8, "width": 2, "hidden": [8]}
    return chosen | {"options": options.get(name, {})}


def test_every_cell_of_the_published_table_has_a_recipe():
    wanted = {f"vae-{name}-{kind}" for name in ("mnist", "omniglot", "caltech", "freyfaces") for kind in KINDS}
    assert wanted | {"vae-demo", "vae-mnist-reduced"} == set(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_can_be_built_and_computes_its_bound(recipe):
    given = config(recipe)
    flow = dict(given["model"]["init_args"]["flow"])
    posterior = flow["init_args"]["posterior"]
    assert recipe in ("vae-demo", "vae-mnist-reduced") or recipe.endswith(posterior)
    assert ("Continuous" in given["model"]["class_path"]) == (posterior == "cnf")
    flow["init_args"] = flow["init_args"] | small_flow(flow["init_args"])
    plain = {name: value for name, value in given["model"]["init_args"].items() if not isinstance(value, dict)}
    module = build_module(given["model"]["class_path"], plain | {"flow": flow})
    source = getattr(data, given["data"]["class_path"].rpartition(".")[2])(**given["data"]["init_args"])
    x = 255 * torch.randint(0, 2, (2, *flow["init_args"]["image_shape"]), dtype=torch.uint8)
    assert torch.isfinite(module.loss(x, None, "train")[0]) and source.batch_size in (64, 100)


def test_published_settings():
    for recipe in set(RECIPES) - {"vae-demo", "vae-mnist-reduced"}:
        given = config(recipe)
        model, optimizer = given["model"]["init_args"], given["model"]["init_args"]["optimizer"]
        assert model["flow"]["init_args"]["latent_dims"] == 64 and model["anneal_over"] == 100
        assert optimizer["init_args"] == {"lr": 5e-4, "eps": 1e-7} and optimizer["class_path"].endswith("Adamax")
        assert given["trainer"]["max_epochs"] == 2000 and given["data"]["init_args"]["batch_size"] == 100
        assert model["test_samples"] == (2000 if "caltech" in recipe else 5000)


@pytest.mark.parametrize("recipe", TRAINED)
def test_recipe_trains_two_steps(recipe, tmp_path, monkeypatch):
    from flowsuite.core.training.lightning_cli import FlowCLI

    monkeypatch.chdir(tmp_path)
    given = config(recipe)
    name = given["data"]["class_path"].rpartition(".")[2]
    WRITERS[name](tmp_path / "set")
    overrides = {
        f"model.init_args.flow.init_args.{k}": v
        for k, v in small_flow(given["model"]["init_args"]["flow"]["init_args"]).items()
    }
    if name == "FreyFaces":
        overrides |= {"data.init_args.path": tmp_path / "set" / "f.pkl", "data.init_args.validation": 10}
    elif name != "BinaryDigits":
        overrides |= {"data.init_args.root": tmp_path / "set", "data.init_args.validation": 2}
    overrides |= {"data.init_args.batch_size": 2, "trainer.accelerator": "cpu", "trainer.logger": "false"}
    overrides |= {"trainer.max_steps": 2, "trainer.limit_train_batches": 2, "trainer.limit_val_batches": 1}
    overrides |= {"trainer.enable_progress_bar": "false", "trainer.enable_model_summary": "false"}
    overrides |= {"trainer.check_val_every_n_epoch": 1}
    cli = FlowCLI(["fit", "--config", f"images/{recipe}", *(f"--{key}={value}" for key, value in overrides.items())])
    assert cli.trainer.global_step == 2 and torch.isfinite(cli.trainer.callback_metrics["val/elbo"])

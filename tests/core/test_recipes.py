"""Every packaged recipe of the core goes through the command line's own parser and trains two steps on made data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import flowsuite.core
from flowsuite.core.training.recipes import FIELDS, read_header

FOLDER = Path(flowsuite.core.__file__).parent / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SETS = ("power", "gas", "hepmass", "miniboone", "bsds300")
TABLE = {  # columns, activation, hidden layers, width / columns, blocks, batch (arXiv 1810.01367, appendix)
    "power": (6, "tanh", 3, 10, 5, 10000),
    "gas": (8, "tanh", 3, 20, 5, 1000),
    "hepmass": (21, "softplus", 2, 10, 10, 10000),
    "miniboone": (43, "softplus", 2, 20, 1, 1000),
    "bsds300": (63, "softplus", 3, 20, 2, 10000),
}


def config(recipe):
    return yaml.safe_load((FOLDER / f"{recipe}.yaml").read_text())


def few_rows(dim):
    """In place of a tabular set's files."""
    random = np.random.RandomState(0)
    return tuple(random.randn(n, dim) for n in (12, 8, 8))


def prepare(recipe, monkeypatch, tmp_path) -> dict[str, object]:
    """Made data, and the options that lead there."""
    given = config(recipe)["data"]
    name = given["class_path"].rpartition(".")[2]
    if name == "Toy":
        return {"data.init_args.train": 12, "data.init_args.val": 8}
    if name == "Reflow":
        from flowsuite.core.training.checkpoint import build_module, save_module

        model = config("ffjord-toy-fm")["model"]
        model["init_args"]["flow"]["init_args"]["hidden"] = [4, 4, 4]
        path = tmp_path / "first.ckpt"
        save_module(path, build_module(model["class_path"], {"flow": model["init_args"]["flow"]}))
        return {"data.init_args.ckpt_path": path, "data.init_args.pairs": 12}
    import flowsuite.core.data

    module = getattr(flowsuite.core.data, name)
    dim = config(recipe)["model"]["init_args"]["flow"]["init_args"]["dim"]
    monkeypatch.setattr(module, "read", lambda self: few_rows(dim))
    return {}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_trains_two_steps(recipe, tmp_path, monkeypatch):
    from flowsuite.core.training.lightning_cli import FlowCLI

    monkeypatch.chdir(tmp_path)
    flow = config(recipe)["model"]["init_args"]["flow"]["init_args"]
    overrides = prepare(recipe, monkeypatch, tmp_path)
    hidden = flow["hidden"]
    overrides["model.init_args.flow.init_args.hidden"] = [4] * len(hidden) if isinstance(hidden, list) else 4
    overrides |= {"data.init_args.batch_size": 4, "trainer.accelerator": "cpu", "trainer.devices": 1}
    overrides |= {"trainer.logger": "false", "trainer.enable_progress_bar": "false"}
    overrides |= {"trainer.max_steps": 2, "trainer.limit_val_batches": 1, "trainer.enable_model_summary": "false"}
    overrides |= {"trainer.val_check_interval": 2, "trainer.limit_train_batches": 2}
    cli = FlowCLI(["fit", "--config", f"core/{recipe}", *(f"--{key}={value}" for key, value in overrides.items())])
    assert cli.trainer.global_step == 2
    assert cli.model.skipped_updates == 0
    assert torch.isfinite(cli.trainer.callback_metrics["val/nats"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_says_what_it_is(recipe):
    header = read_header(FOLDER / f"{recipe}.yaml")
    assert all(header.get(name) for name in FIELDS)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("suffix", ["", "-published"])
def test_tabular_models_are_those_of_the_paper(name, suffix):
    found = config(f"ffjord-{name}{suffix}")
    flow, batch = found["model"]["init_args"]["flow"]["init_args"], found["data"]["init_args"]["batch_size"]
    dim, activation, layers, factor, blocks, expected_batch = TABLE[name]
    assert (flow["dim"], flow["activation"], flow["num_blocks"], batch) == (dim, activation, blocks, expected_batch)
    assert flow["hidden"] == [factor * dim] * layers


def test_published_sizes():
    """Parameters measured in the public code, whose end time is one more a block."""
    from flowsuite.core.training.checkpoint import instantiate

    sizes = {"power": 43_325, "gas": 278_565, "hepmass": 546_850, "miniboone": 820_613, "toy": 9_225}
    for name, expected in sizes.items():
        flow = instantiate(config(f"ffjord-{name}-published")["model"]["init_args"]["flow"])
        assert sum(p.numel() for p in flow.parameters()) == expected, name


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name.endswith("-published")])
def test_published_recipes_follow_one_rule(recipe):
    flow = config(recipe)["model"]["init_args"]["flow"]["init_args"]
    assert flow["train_end_time"] is False and flow["solver"]["init_args"]["seminorm"] is False
    assert "Departures:" in (FOLDER / f"{recipe}.yaml").read_text()


@pytest.mark.parametrize("recipe", RECIPES)
def test_patience_alone_stops(recipe):
    trainer = config(recipe)["trainer"]
    patient = any(callback["class_path"].endswith(".Patience") for callback in trainer.get("callbacks", []))
    assert (trainer["max_epochs"] == -1) == patient

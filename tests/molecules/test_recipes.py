"""Every packaged recipe goes through the command line's own parser and trains a few steps on a published file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import flowsuite.molecules
from flowsuite.core.training.recipes import FIELDS, read_header
from flowsuite.molecules import GraphAF, Vocabulary, data
from tests.molecules.published import WRITERS
from tests.molecules.small import shorten_nci

FOLDER = Path(flowsuite.molecules.__file__).parent / "recipes"
RECIPES = sorted(
    path.stem for path in FOLDER.glob("*.yaml") if not path.stem.startswith("moflow")
)  # test_moflow_module
PUBLISHED = [recipe for recipe in RECIPES if recipe.endswith("-published")]
SMALLER = {"hidden": 8, "layers": 2}


def config(recipe: str) -> dict:
    return yaml.safe_load((FOLDER / f"{recipe}.yaml").read_text())


def write_data(given: dict, root: Path) -> dict:
    """Writes what the data module of a recipe reads, and returns the options that lead there."""
    name = given["class_path"].rpartition(".")[2]
    if name == "NCI":
        return {"max_atoms": 8}
    root.mkdir()
    if name == "SmilesFile":
        (root / "mine.smi").write_text("".join(f"{'C' * n}O\n{'C' * n}N\n" for n in range(1, 21)))
        return {"path": str(root / "mine.smi"), "val": 4}
    WRITERS[name](root)
    return {"root": str(root), "val": 4}


def overrides(given: dict, root: Path) -> list[str]:
    options = {f"data.init_args.{key}": value for key, value in write_data(given["data"], root).items()}
    options |= {"data.init_args.batch_size": 8, "data.init_args.num_workers": 0, "data.init_args.workers": 0}
    options |= {f"model.init_args.flow.init_args.{key}": value for key, value in SMALLER.items()}
    decision = given["model"]["init_args"]["flow"]["init_args"]["decision_options"]
    options |= {
        f"model.init_args.flow.init_args.decision_options.{key}": SMALLER[key] for key in decision.keys() & SMALLER
    }
    options |= {"trainer.accelerator": "cpu", "trainer.devices": 1, "trainer.logger": "false"}
    options |= {"trainer.max_steps": 2, "trainer.max_epochs": -1, "trainer.limit_train_batches": 2}
    options |= {"trainer.check_val_every_n_epoch": 1, "trainer.limit_val_batches": 1}
    options |= {"trainer.enable_progress_bar": "false", "trainer.enable_model_summary": "false"}
    return [f"--{key}={value}" for key, value in options.items()]


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_trains_two_steps(recipe, tmp_path, monkeypatch):
    from flowsuite.core.training.lightning_cli import FlowCLI

    monkeypatch.chdir(tmp_path)
    shorten_nci(tmp_path, monkeypatch)
    given = config(recipe)
    cli = FlowCLI(["fit", "--config", f"molecules/{recipe}", *overrides(given, tmp_path / "set")])
    assert cli.trainer.global_step == 2
    assert all(torch.isfinite(cli.trainer.callback_metrics[f"{stage}/loss"]) for stage in ("train", "val"))
    flow, read = cli.model.flow, cli.datamodule
    assert flow.vocabulary == read.vocabulary and flow.window >= read.window and flow.max_atoms >= read.max_atoms
    lost = read.report.total - read.report.encoded
    assert given["data"]["class_path"].endswith("NCI") or lost <= read.report.total // 4, read.report.summary()
    context = torch.zeros(3, len(flow.properties)) if flow.properties else None
    assert len(cli.model.generate(3, context)) == 3


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_says_what_it_is(recipe):
    header = read_header(FOLDER / f"{recipe}.yaml")
    assert all(header.get(field) for field in FIELDS)


@pytest.mark.parametrize("recipe", RECIPES)
def test_model_and_data_agree(recipe):
    """On their own, without any file: atoms, sizes, windows and properties."""
    given = config(recipe)
    flow = GraphAF(**given["model"]["init_args"]["flow"]["init_args"])
    made = getattr(data, given["data"]["class_path"].rpartition(".")[2])(**given["data"]["init_args"])
    assert list(flow.vocabulary.names) == list(Vocabulary(made.atoms).names)
    assert flow.max_atoms == made.encoding["max_atoms"] and flow.window == made.window
    assert flow.properties == made.encoding["properties"]


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_published_set_ups_are_those_of_the_paper(recipe):
    given = config(recipe)
    model, flow = given["model"]["init_args"], given["model"]["init_args"]["flow"]["init_args"]
    assert (flow["conditioner"], flow["hidden"], flow["layers"]) == ("rgcn", 128, 3)
    assert (flow["decision"], flow["decision_options"]["layers"], flow["stop"]) == ("affine", 12, False)
    assert model["optimizer"] == {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}}
    assert given["data"]["init_args"]["batch_size"] == 32
    charges = {"moses-published": None}.get(recipe, True)  # MOSES has none
    assert given["data"]["init_args"].get("drop_charges") == charges
    assert model["test_temperature"] in (0.7, 0.75)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model.init_args.flow.init_args.decision", "magic"], "unknown decision 'magic'"),
        (["--model.init_args.flow.init_args.conditioner", "gat"], "unknown conditioner 'gat'"),
        (["--model.init_args.flow.init_args.atoms", "[C, N, Q]"], "Q"),
        (["--model.init_args.flow.init_args.atoms", "[C, N]"], "the data have the atom classes"),
        (["--data.init_args.val", "0.6", "--data.init_args.test", "0.6"], "leave nothing of"),
    ],
)
def test_wrong_options_get_one_short_line(argv, message, tmp_path, monkeypatch, capsys):
    from flowsuite.core.training import cli

    monkeypatch.chdir(tmp_path)
    shorten_nci(tmp_path, monkeypatch)
    quick = [
        "--data.init_args.cache",
        str(tmp_path),
        "--data.init_args.max_atoms",
        "6",
        "--data.init_args.workers",
        "0",
    ]
    assert cli.main(["fit", "--config", "molecules/demo", *quick, "--trainer.accelerator=cpu", *argv]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error and len(error) < 200


def test_a_missing_data_set_is_named(tmp_path, monkeypatch, capsys):
    from flowsuite.core.training import cli

    monkeypatch.chdir(tmp_path)
    shorten_nci(tmp_path, monkeypatch)
    assert cli.main(["fit", "--config", "molecules/qm9", "--trainer.accelerator=cpu"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "data/qm9" in error and "qm9_property.csv" in error and len(error) < 300

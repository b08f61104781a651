"""MoFlow through the suite: fit, resume, test, sample, recipes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml

import flowsuite.molecules
from flowsuite.core.training.checkpoint import build_module, load_module, save_module
from flowsuite.core.training.cli import main as flowsuite_cli
from flowsuite.core.training.recipes import FIELDS, read_header
from flowsuite.molecules import GraphAFModule, MoFlow, MoFlowModule
from flowsuite.molecules.data import SmilesFile
from flowsuite.molecules.dataset import MoleculeSet
from flowsuite.molecules.packed import to_dense
from tests.molecules.made import model as graphaf
from tests.molecules.made import molecules

ATOMS = ["C", "N", "O", "F"]
FLOW = {"atoms": ATOMS, "max_atoms": 6, "bond_flows": 2, "bond_width": 8, "atom_flows": 6}
FLOW |= {"atom_gnn": [8], "atom_linear": [8]}
RECIPES = Path(flowsuite.molecules.__file__).parent / "recipes"


def some_smiles() -> list[str]:
    ends = ("", "N", "O", "F", "C=O", "C#N")
    return [f"{'C' * a}{middle}C{end}" for a in (1, 2) for middle in ("O", "N", "C", "=C"[1:]) for end in ends]


def data(folder: Path, **options) -> SmilesFile:
    path = folder / "small.smi"
    path.write_text("".join(f"{text}\n" for text in some_smiles()))
    given = {"val": 8, "test": 8, "atoms": ATOMS, "window": 5, "batch_size": 8, "workers": 0, "progress": False}
    return SmilesFile(str(path), **{"max_atoms": 6, "order": "file", **given, **options})


def module(**options) -> MoFlowModule:
    torch.manual_seed(0)
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.003}}
    flow = {"class_path": "flowsuite.molecules.MoFlow", "init_args": FLOW}
    return build_module("flowsuite.molecules.MoFlowModule", {"flow": flow, "optimizer": adam, **options})


def trainer(folder: Path, **options) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return pl.Trainer(**{"accelerator": "cpu", "default_root_dir": folder, **quiet, **options})


def test_fit_and_test(tmp_path, capsys):
    """Starts from the data, learns, is evaluated; the report holds both kinds of validity."""
    made, given = module(test_samples=30, test_temperature=0.8, ema_decay=0.5, init_batches=2), data(tmp_path)
    run = trainer(tmp_path, max_epochs=4)
    run.validate(made, given, verbose=False)
    before = run.callback_metrics["val/nats_per_molecule"].item()
    run.fit(made, given)
    assert made.flow_initialized and run.callback_metrics["val/nats_per_molecule"].item() < before - 20
    figures = run.callback_metrics
    torch.testing.assert_close(figures["val/atom_nats"] + figures["val/bond_nats"], figures["val/loss"])
    (tested,) = run.test(made, given, verbose=False)
    assert tested["test/valid"] == 1.0 and 0 <= tested["test/valid_unchecked"] <= 1
    assert tested["test/reconstructed"] == 1.0
    assert "30 molecules at temperature 0.8" in capsys.readouterr().out


def test_order_of_the_file():
    """Training and evaluation see the atoms as they are stored; otherwise orders are random."""
    packed = molecules(6)
    for training in (True, False):
        batch = MoleculeSet(packed, 6, training, order="file").__getitems__(range(6))
        assert all(torch.equal(a, b) for a, b in zip(to_dense(batch), packed.dense(), strict=True))
    draws = [MoleculeSet(packed, 6, True).__getitems__(range(6)) for _ in range(8)]
    assert any(not torch.equal(draw.x, draws[0].x) for draw in draws)


def test_order_is_checked(tmp_path):
    with pytest.raises(ValueError, match="order must be one of random, file, got 'sorted'"):
        data(tmp_path, order="sorted")


def test_modules_take_their_own_flow():
    with pytest.raises(TypeError, match="flow must be a MoFlow, got GraphAF"):
        MoFlowModule(graphaf())
    with pytest.raises(TypeError, match="flow must be a GraphAF, got MoFlow"):
        GraphAFModule(MoFlow(**FLOW))


def test_atoms_must_agree(tmp_path):
    with pytest.raises(ValueError, match="the data have the atom classes"):
        trainer(tmp_path, max_steps=1).fit(module(), data(tmp_path, atoms=["C", "N", "O", "F", "S"]))


def test_too_large_molecules_are_named(tmp_path):
    path = tmp_path / "large.smi"
    path.write_text("".join(f"{'C' * a}O{'C' * (7 - a)}\n" for a in range(8)) + "CCCCCCCN\nCCCCCCCF\n")
    large = SmilesFile(str(path), val=2, test=2, atoms=ATOMS, window=7, workers=0, progress=False, batch_size=4)
    with pytest.raises(ValueError, match=r"8.* the model.* 6"):
        trainer(tmp_path, max_steps=1).fit(module(), large)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    made = module()
    with torch.no_grad():
        batch = molecules(32, 6)
        made.flow.initialize(flowsuite.molecules.packed.to_batch(*batch.dense()))
    path = tmp_path_factory.mktemp("moflow") / "model.ckpt"
    save_module(path, made)
    return path


def sample(checkpoint: Path, out: Path, *options: str) -> int:
    given = ["--ckpt_path", checkpoint, "--out", out, "--num", 20, "--batch_size", 8, "--seed", 3, *options]
    return flowsuite_cli(["sample", *map(str, given)])


def test_sample(checkpoint, tmp_path, capfd):
    assert sample(checkpoint, tmp_path / "a") == 0
    assert "20 of 20 valid" in capfd.readouterr().out
    lines = (tmp_path / "a" / "molecules.smi").read_text().splitlines()
    assert len(lines) == 20
    with open(tmp_path / "a" / "molecules.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["smiles"] for row in rows] == lines and any(row["refused_draws"] != "0" for row in rows)
    assert sample(checkpoint, tmp_path / "b") == 0
    assert (tmp_path / "b" / "molecules.smi").read_text().splitlines() == lines
    assert sample(checkpoint, tmp_path / "c", "--unchecked") == 0
    with open(tmp_path / "c" / "molecules.csv", newline="") as file:
        assert all(row["refused_draws"] == "0" for row in csv.DictReader(file))


@pytest.mark.parametrize("options", [("--start", "CC"), ("--max_atoms", "4"), ("--property", "qed=0.9")])
def test_options_of_other_models_are_refused(checkpoint, tmp_path, options, capsys):
    assert sample(checkpoint, tmp_path, *options) == 1
    error = capsys.readouterr().err
    assert options[0] in error and error.count("\n") == 1


def test_rebuilt():
    packed = molecules(12, 6)
    again = module().rebuilt(packed)
    assert all(torch.equal(a, b) for a, b in zip(again.dense(), packed.dense(), strict=True))


def test_checkpoints_load(checkpoint):
    made = load_module(checkpoint)
    assert isinstance(made, MoFlowModule) and len(made.generate(5)) == 5


def write_data(recipe: str, root: Path) -> None:
    root.mkdir()
    smiles = [*some_smiles(), "C[N+](C)(C)CC(=O)[O-]"]
    if recipe == "moflow-qm9":
        text = "".join(f"{i},{each}\n" for i, each in enumerate(smiles))
        (root / "qm9_property.csv").write_text(f",smiles\n{text}")
        (root / "valid_idx_qm9.json").write_text(json.dumps({"valid_idxs": ["1", "5", "9"]}))
    else:
        text = "".join(f'"{each}\n",1.0\n' for each in smiles)
        (root / "250k_rndm_zinc_drugs_clean_3.csv").write_text(f"smiles,logP\n{text}")


def config(recipe: str) -> dict:
    return yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text())


@pytest.mark.parametrize("recipe", ["moflow-qm9", "moflow-zinc250k"])
def test_recipe_trains_two_steps(recipe, tmp_path, monkeypatch):
    from flowsuite.core.training.lightning_cli import FlowCLI

    monkeypatch.chdir(tmp_path)
    write_data(recipe, tmp_path / "set")
    small = {"bond_flows": 2, "bond_width": 8, "atom_flows": 3, "atom_gnn": [8], "atom_linear": [8]}
    options = {f"model.init_args.flow.init_args.{key}": value for key, value in small.items()}
    options |= {"data.init_args.root": tmp_path / "set", "data.init_args.batch_size": 8, "data.init_args.val": 4}
    options |= {"data.init_args.num_workers": 0, "data.init_args.workers": 0, "trainer.accelerator": "cpu"}
    options |= {"trainer.max_steps": 2, "trainer.max_epochs": -1, "trainer.limit_val_batches": 1}
    options |= {"trainer.limit_train_batches": 2, "trainer.enable_model_summary": "false"}
    options |= {"trainer.logger": "false", "trainer.enable_progress_bar": "false", "trainer.devices": 1}
    cli = FlowCLI(["fit", "--config", f"molecules/{recipe}", *[f"--{k}={v}" for k, v in options.items()]])
    assert cli.trainer.global_step == 2 and cli.model.flow.vocabulary == cli.datamodule.vocabulary
    assert cli.model.flow.max_atoms == cli.datamodule.encoding["max_atoms"] and cli.datamodule.order == "file"
    assert torch.isfinite(cli.trainer.callback_metrics["val/loss"])
    assert len(cli.model.generate(3)) == 3


@pytest.mark.parametrize(
    ("recipe", "sizes"),
    [
        ("moflow-qm9", {"bond_width": 128, "squeeze": 3, "atom_flows": 27, "atom_gnn": [64], "atom_linear": [128, 64]}),
        (
            "moflow-zinc250k",
            {"bond_width": 512, "squeeze": 19, "atom_flows": 38, "atom_gnn": [256], "atom_linear": [512, 64]},
        ),
    ],
)
def test_recipes_are_those_of_the_paper(recipe, sizes):
    header = read_header(RECIPES / f"{recipe}.yaml")
    assert all(header.get(field) for field in FIELDS)
    given = config(recipe)
    model = given["model"]["init_args"]
    flow = model["flow"]["init_args"]
    assert {**flow, **sizes} == flow and flow["bond_flows"] == 10 and flow["noise"] == 0.6
    assert model["optimizer"] == {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}}
    assert model["test_temperature"] == 0.85 and given["data"]["init_args"]["batch_size"] == 256
    assert given["trainer"]["max_epochs"] == 200

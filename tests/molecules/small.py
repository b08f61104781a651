"""Small files of molecules, and a small GraphAF that trains on them."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
import torch

from flowsuite.core.training.checkpoint import build_module, save_module
from flowsuite.molecules.data import NCI, SmilesFile
from flowsuite.molecules.data_base import Source
from flowsuite.molecules.smiles import canonical

ATOMS = ["C", "N", "O", "F", "N+", "O-"]
FLOW = {"atoms": ATOMS, "max_atoms": 9, "window": 8, "hidden": 16, "layers": 2, "decision_options": {"hidden": 16}}
MODULE = "flowsuite.molecules.module.GraphAFModule"
NATS = {"loss", "nats_per_molecule", "atom_nats", "bond_nats", "nats_per_step"}


def some_smiles() -> list[str]:
    """60 different molecules of four to nine atoms."""
    ends = ("", "N", "=O", "C#N", "F")
    made = [
        "C" * a + middle + "C" * b + end for a in (1, 2, 3) for middle in ("O", "N") for b in (1, 2) for end in ends
    ]
    rings = [
        f"{ring}{end}" for ring in ("c1ccccc1", "C1CC1", "c1cc[nH]c1", "C1CCOC1") for end in ("C", "N", "O", "CO", "F")
    ]
    return list(dict.fromkeys(map(canonical, made + rings)))[:60]


def data(folder: Path, **options) -> SmilesFile:
    """40 training, 10 validation and 10 test molecules from a file that is written to `folder`."""
    path = folder / "small.smi"
    path.write_text("".join(f"{text}\n" for text in some_smiles()))
    given = {"val": 10, "test": 10, "atoms": ATOMS, "window": 8, "batch_size": 10, "workers": 0, "progress": False}
    return SmilesFile(str(path), **{**given, **options})


def shorten_nci(folder: Path, monkeypatch, lines: int = 1200) -> None:
    """From here on `NCI` has the first so many molecules of its file, in a file that is written to `folder`."""
    path = folder / "nci.smi"
    whole = NCI().sources()["train"].path.read_text().splitlines(keepends=True)
    path.write_text("".join(whole[:lines]))
    monkeypatch.setattr(NCI, "sources", lambda self: {"train": Source(path)})


def module(flow: dict | None = None, seed: int = 0, **options):
    """A module that its checkpoints can be loaded as; weights depend on `seed` alone."""
    torch.manual_seed(seed)
    config = {"class_path": "flowsuite.molecules.GraphAF", "init_args": {**FLOW, **(flow or {})}}
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}}
    return build_module(MODULE, {"flow": config, "optimizer": adam, "test_samples": 20, **options})


def trainer(folder: Path, **options) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return pl.Trainer(**{"accelerator": "cpu", "default_root_dir": folder, "log_every_n_steps": 1, **quiet, **options})


def save(path: Path, steady: bool = True, **flow) -> Path:
    """A checkpoint of an untrained model; `steady`: one inclined to single bonds and molecules of several atoms."""
    made = module(flow)
    if steady:
        with torch.no_grad():
            made.flow.atom_decision.trunk[-1].bias[-1] -= 1.0
            made.flow.edge_decision.trunk[-1].bias += torch.tensor([0.0, -2.5, -4.0, 0.5])
    save_module(path, made)
    return path

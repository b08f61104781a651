"""The published data sets in little, as files of their own formats."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.molecules.small import some_smiles

DRUGS = ("Cc1ccc(S(=O)(=O)N2CCOCC2)cc1", "O=C(Nc1ccccc1Cl)c1ccco1", "COc1ccc(CN2CCN(C)CC2)cc1", "CC(C)NC(=O)c1cccs1")


def write_rows(path: Path, header: list[str], rows: list[list]) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_qm9(root: Path) -> None:
    """`qm9_property.csv` and MoFlow's list of rows to test on."""
    smiles = some_smiles()
    write_rows(root / "qm9_property.csv", ["", "smiles", "qed"], [[i, s, 0.5] for i, s in enumerate(smiles)])
    (root / "valid_idx_qm9.json").write_text(json.dumps({"valid_idxs": [str(i) for i in range(1, 7)]}))


def drugs(n: int = 40) -> list[str]:
    return [*DRUGS, *some_smiles()][:n]


def write_zinc250k(root: Path) -> None:
    """The CSV of the chemical VAE, whose SMILES end in a line break, and MoFlow's list."""
    rows = [[f"{smiles}\n", 2.5, 0.7, 3.0] for smiles in drugs()]
    write_rows(root / "250k_rndm_zinc_drugs_clean_3.csv", ["smiles", "logP", "qed", "SAS"], rows)
    (root / "valid_idx_zinc.json").write_text(json.dumps([2, 5, 7, 11]))


def write_moses(root: Path) -> None:
    splits = ("train", "train", "train", "test", "test_scaffolds")
    neutral = [smiles for smiles in drugs() if "+" not in smiles]
    write_rows(
        root / "dataset_v1.csv", ["SMILES", "SPLIT"], [[s, splits[i % len(splits)]] for i, s in enumerate(neutral)]
    )


WRITERS = {"QM9": write_qm9, "ZINC250k": write_zinc250k, "MOSES": write_moses}

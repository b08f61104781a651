"""Structural alerts and strain."""

import json
import math
from pathlib import Path

import pytest

pytest.importorskip("rdkit")
from rdkit import Chem, RDConfig

from flowsuite.molecules.filters import FILTERS, MCF_SMARTS, catalog, mcf_patterns, pains_filter, pains_screen
from flowsuite.molecules.smiles import parse
from flowsuite.molecules.strain import angle_strain, strain_filter
from tests.reference.conftest import ROOT

CASES = {
    "mcf": (["CCO", "c1ccccc1C(=O)NC"], ["CC=O", "C1OC1", "CCCl", "CN=C=O", "CSSC", "C1CN1C", "C=CC=O"]),
    "moses": (
        ["CCO", "c1ccccc1C(=O)NC", "C1CCCCCC1"],
        ["C1CCCCCCC1", "C[NH3+]", "[Na]", "CCI", "CP", "CC=O", "O=C1C=CC(=O)C=C1"],
    ),
    "pains": (["CCO"], ["O=C1C=CC(=O)C=C1"]),
    "zinc": (["CCO"], ["C" * 20]),
    "strain": (["CCO", "CCCC", "c1ccccc1", "C", "CC"], ["C1=CC=C=C1"]),
}


@pytest.mark.parametrize("name", FILTERS)
def test_what_passes(name):
    good, bad = CASES[name]
    assert all(FILTERS[name](parse(smiles)) for smiles in good)
    assert [smiles for smiles in bad if FILTERS[name](parse(smiles))] == []


def test_the_patterns_are_those_published():
    path = ROOT / "molecules" / "moses_mcf.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    assert list(MCF_SMARTS) == list(json.loads(path.read_text())["smarts"].values())
    assert all(pattern is not None for pattern in mcf_patterns())


def test_strain():
    assert angle_strain(parse("C")) == 0.0
    flat, small = angle_strain(parse("CCCCC")), angle_strain(parse("C1=CC=C=C1"))
    assert 0 <= flat < 0.82 < small
    assert angle_strain(parse("C1=CC=C=C1")) == small
    assert math.isnan(angle_strain(parse("C[Fe]C"))) and not strain_filter(parse("C[Fe]C"))
    assert strain_filter(parse("C1=CC=C=C1"), cutoff=small + 0.01) and not strain_filter(
        parse("C1=CC=C=C1"), small - 0.01
    )


def test_pains_are_those_of_the_catalog():
    found = catalog("PAINS")
    assert len(pains_screen().patterns) == found.GetNumEntries() == 480
    for number, pattern in enumerate(pains_screen().patterns):
        assert pattern is not None and pattern.GetNumAtoms() > 1, number


def test_screened_pains_agree_with_the_catalog():
    lines = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().splitlines()[::5]
    mols = [mol for line in lines if (mol := parse(line.split()[0])) is not None]
    found = [pains_filter(mol) for mol in mols]
    assert found == [not catalog("PAINS").HasMatch(mol) for mol in mols] and 20 < found.count(False) < 500


def test_the_screen_rules_most_patterns_out_and_none_that_is_there():
    screen = pains_screen()
    mol = parse("O=C1C=CC(=O)C=C1c1ccc(N(C)C)cc1")
    left = list(screen.candidates(mol))
    assert len(left) < 100
    there = [Chem.MolToSmarts(pattern) for pattern in screen.patterns if mol.HasSubstructMatch(pattern)]
    assert there and set(there) <= {Chem.MolToSmarts(pattern) for pattern in left}

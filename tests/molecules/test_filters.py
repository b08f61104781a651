"""Structural alerts and strain."""

import json
import math

import pytest

pytest.importorskip("rdkit")
from flowsuite.molecules.filters import FILTERS, MCF_SMARTS, mcf_patterns
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

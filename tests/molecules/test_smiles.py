"""SMILES in and out, without noise."""

import pytest

pytest.importorskip("rdkit")
from flowsuite.molecules.smiles import canonical, parse


@pytest.mark.parametrize("bad", ["C1CC", "C(C)(C)(C)(C)C", "c1ccc", "nonsense", "", "   ", "\ud800", None])
def test_what_is_no_molecule(bad, capfd):
    assert parse(bad) is None
    assert canonical(bad) is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "a, b", [("OCC", "CCO"), ("C1=CC=CC=C1", "c1ccccc1"), ("C[C@H](F)Cl", "CC(F)Cl"), ("[2H]C", "C")]
)
def test_spellings_of_one_molecule(a, b):
    assert canonical(a) == canonical(b)
    assert canonical(canonical(a)) == canonical(a)


@pytest.mark.parametrize("a, b", [("F/C=C/F", "F/C=C\\F"), ("C[C@H](F)Cl", "C[C@@H](F)Cl"), ("[13CH4]", "C")])
def test_stereochemistry_and_isotopes_are_kept_on_request(a, b):
    assert canonical(a) == canonical(b)
    assert canonical(a, isomeric=True) != canonical(b, isomeric=True)


def test_charges_and_radicals_make_different_molecules():
    assert len({canonical(text) for text in ("CN", "C[NH3+]", "C[NH]", "[CH2]N")}) == 4

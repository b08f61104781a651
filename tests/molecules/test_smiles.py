"""SMILES in and out, without noise."""

import pytest

pytest.importorskip("rdkit")
from rdkit import Chem

from flowsuite.molecules.smiles import canonical, canonical_of, parse


@pytest.mark.parametrize("bad", ["C1CC", "C(C)(C)(C)(C)C", "c1ccc", "nonsense", "", "   ", "\ud800", None])
def test_what_is_no_molecule(bad, capfd):
    assert parse(bad) is None
    assert canonical(bad) is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "a, b",
    [("OCC", "CCO"), ("C1=CC=CC=C1", "c1ccccc1"), ("C[C@H](F)Cl", "CC(F)Cl"), ("[2H]C", "C"), ("C[CH3:1]", "CC")],
)
def test_spellings_of_one_molecule(a, b):
    assert canonical(a) == canonical(b)
    assert canonical(canonical(a)) == canonical(a)


@pytest.mark.parametrize("a, b", [("F/C=C/F", "F/C=C\\F"), ("C[C@H](F)Cl", "C[C@@H](F)Cl"), ("[13CH4]", "C")])
def test_stereochemistry_and_isotopes_are_kept_on_request(a, b):
    assert canonical(a) == canonical(b)
    assert canonical(a, isomeric=True) != canonical(b, isomeric=True)


@pytest.mark.parametrize("isomeric", [False, True])
def test_map_numbers_are_no_part_of_a_molecule(isomeric):
    mapped = Chem.MolFromSmiles("[CH3:1][C@H:7]([NH3+:2])[c:3]1[cH:4]cccc1")
    plain = canonical("C[C@H]([NH3+])c1ccccc1", isomeric)
    assert canonical_of(mapped, isomeric) == canonical(Chem.MolToSmiles(mapped), isomeric) == plain
    assert mapped.GetAtomWithIdx(0).GetAtomMapNum() == 1  # the caller's own stays as it is


def test_charges_and_radicals_make_different_molecules():
    assert len({canonical(text) for text in ("CN", "C[NH3+]", "C[NH]", "[CH2]N")}) == 4

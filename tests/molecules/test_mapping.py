"""Functions over many molecules: order, workers, errors that name the molecule."""

import math

import numpy as np
import pytest

pytest.importorskip("rdkit")
from flowsuite.molecules.mapping import map_molecules, score_molecules
from flowsuite.molecules.properties import heavy_atoms
from flowsuite.molecules.sascore import sa
from flowsuite.molecules.smiles import parse

CHAINS = ["C" * n for n in range(1, 450)]


def wants_no_oxygen(mol):
    if any(atom.GetSymbol() == "O" for atom in mol.GetAtoms()):
        raise KeyError("oxygen")
    return math.nan if mol.GetNumAtoms() > 3 else mol.GetNumAtoms()


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order(workers):
    smiles = [*CHAINS, "C1CC", *CHAINS[::-1]]
    found = map_molecules(heavy_atoms, smiles, workers)
    assert found == [*range(1, 450), None, *range(449, 0, -1)]


@pytest.mark.parametrize("workers", [0, 1])
def test_molecules_instead_of_smiles(workers):
    assert map_molecules(heavy_atoms, [parse("CCO"), "C", None], workers) == [3, 1, None]
    failures = score_molecules(wants_no_oxygen, [parse("CCO")], workers).failures
    assert str(failures[0]) == "molecule 0 (CCO): KeyError: 'oxygen'"


def test_workers_are_quiet(capfd):
    assert map_molecules(sa, ["C1CC"] * 300 + ["CC"], workers=1)[-1] is not None
    assert capfd.readouterr() == ("", "")


def test_an_error_names_its_molecule():
    with pytest.raises(ValueError, match=r"wants_no_oxygen failed on molecule 2 \(CO\): KeyError: 'oxygen'"):
        map_molecules(wants_no_oxygen, ["C", "bad", "CO", "CCO"])


def test_scores_count_what_went_wrong():
    scores = score_molecules(wants_no_oxygen, ["C", "bad", "CO", "CCCC", "CC", "CCO"])
    np.testing.assert_array_equal(scores.values, [1, math.nan, math.nan, math.nan, 2, math.nan])
    assert (scores.invalid, scores.nans, len(scores.failures)) == (1, 1, 2)
    assert scores.summary().startswith("2 of 6 scored, 1 invalid, 1 NaN, 2 failed, first: molecule 2 (CO)")


def test_a_score_that_is_no_number_is_a_failure():
    scores = score_molecules(lambda mol: "high", ["C"])
    assert "could not convert" in scores.failures[0].error


def test_bad_calls():
    with pytest.raises(ValueError, match="workers must be 0 or more, got -1"):
        map_molecules(sa, ["C"], workers=-1)
    with pytest.raises(TypeError, match="expected a list of SMILES"):
        map_molecules(sa, "CCO")
    with pytest.raises(ValueError, match=r"lambda.* cannot be sent to worker processes"):
        map_molecules(lambda mol: 1, ["C"], workers=1)
    assert map_molecules(sa, [], workers=2) == []


def test_progress_goes_to_stderr(capsys):
    map_molecules(heavy_atoms, ["C", "CC"], progress="counting")
    out, err = capsys.readouterr()
    assert not out and "counting" in err and "2/2" in err

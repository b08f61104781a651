"""Functions over many molecules: order, workers, errors that name the molecule."""

import math
import os

import pytest

pytest.importorskip("rdkit")
from flowsuite.molecules.mapping import bar, map_molecules
from flowsuite.molecules.processes import Pool, in_processes, worker_died
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
    with pytest.raises(ValueError, match=r"failed on molecule 0 \(CCO\): KeyError: 'oxygen'"):
        map_molecules(wants_no_oxygen, [parse("CCO")], workers)


def test_workers_are_quiet(capfd):
    assert map_molecules(sa, ["C1CC"] * 300 + ["CC"], workers=1)[-1] is not None
    assert capfd.readouterr() == ("", "")


def test_an_error_names_its_molecule():
    with pytest.raises(ValueError, match=r"wants_no_oxygen failed on molecule 2 \(CO\): KeyError: 'oxygen'"):
        map_molecules(wants_no_oxygen, ["C", "bad", "CO", "CCO"])


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
    with bar("drawing", 3) as advance:
        advance(3, "mean 0.5")
    assert "mean 0.5" in capsys.readouterr().err
    with bar("", 3) as advance:
        advance(1, "mean 0.5")
    assert capsys.readouterr() == ("", "")


def test_a_worker_that_dies():
    with Pool(1) as pool, pytest.raises(RuntimeError, match="a worker process died while computing _exit"):
        pool.map(os._exit, [1])
    with pytest.raises(RuntimeError, match="a worker process died while computing _exit"):
        list(in_processes(os._exit, [1], 1))
    assert "while scoring" in str(worker_died("scoring"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pool_stays_and_keeps_the_order(workers):
    with Pool(workers) as pool:
        assert pool.map(abs, range(-40, 0)) == list(range(40, 0, -1))
        few = pool.imap(abs, iter(range(-100, 0)))
        assert [next(few), next(few)] == [100, 99]
        few.close()
        assert pool.map(abs, [-3]) == [3]


def test_chunks_are_read_as_they_are_needed():
    read = []
    with Pool(1) as pool:
        results = pool.imap(abs, (read.append(i) or i for i in range(1000)))
        next(results)
        assert len(read) < 20
        results.close()

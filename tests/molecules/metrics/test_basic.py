"""Validity, uniqueness, novelty, sizes and their distances."""

import math
from types import SimpleNamespace

import pytest

pytest.importorskip("rdkit")
from flowsuite.molecules.metrics import basic
from flowsuite.molecules.metrics.histograms import atom_counts, distances, histograms, total_variation
from flowsuite.molecules.metrics.records import read_keys
from flowsuite.molecules.vocabulary import atom_name, parse_atom
from tests.molecules.metrics.small import GENERATED, TEST, records

KEYS = ["CCO", "CCO", None, "CCN", "C", None, "CC"]


def test_shares():
    assert basic.validity(KEYS) == 5 / 7
    assert basic.uniqueness(KEYS) == 4 / 5
    assert (basic.uniqueness(KEYS, 2), basic.uniqueness(KEYS, 4)) == (0.5, 0.75)
    assert math.isnan(basic.uniqueness(KEYS, 6))
    assert basic.novelty(KEYS, {"C", "CCCC"}) == 3 / 4
    assert basic.valid_unique_novel(KEYS, {"C"}) == 3 / 7
    assert basic.under([1, 4, 5, 9]) == 0.5


def test_nothing_is_undefined():
    for value in (basic.validity([]), basic.uniqueness([None]), basic.novelty([], {"C"}), basic.under([])):
        assert math.isnan(value)
    assert basic.valid_unique_novel([None], set()) == 0


def test_training_molecules_are_made_canonical():
    assert read_keys(["OCC", "C(C)O", "bad", "C1=CC=CC=C1"], isomeric=False) == {"CCO", "c1ccccc1"}


def test_tables():
    tables = histograms(records(["CC", "C[NH3+]", "[O-]C=O", "c1ccccc1", "C#N", "[Mg+2]", "[Fe+3]", "[H][H]"]))
    assert tables["size"] == {0: 1, 1: 2, 2: 3, 3: 1, 6: 1}
    assert tables["atom type"] == {"C": 11, "N+": 1, "N": 1, "O": 1, "O-": 1, "Mg+2": 1, "Fe+3": 1}
    assert tables["bond type"] == {"single": 7, "double": 4, "triple": 1}


def test_total_variation():
    assert total_variation({"a": 2, "b": 2}, {"a": 3, "b": 1}) == 0.25
    assert total_variation({"a": 1}, {"b": 7}) == 1
    assert total_variation({"a": 1, "b": 1}, {"a": 5, "b": 5}) == 0
    assert math.isnan(total_variation({}, {"a": 1}))
    own = histograms(records(TEST))
    assert set(distances(own, own).values()) == {0.0}
    assert all(0 < value <= 1 for value in distances(histograms(records(GENERATED)), own).values())


def test_atom_types_are_called_as_in_a_vocabulary():
    counts = atom_counts([SimpleNamespace(atoms={("N", 2): 1, ("O", -1): 2, ("C", 0): 3})])
    assert counts == {"N+2": 1, "O-": 2, "C": 3}
    assert all(atom_name(*parse_atom(name)) == name for name in counts)

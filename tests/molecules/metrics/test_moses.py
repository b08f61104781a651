"""MOSES' metrics against their definitions, written with loops."""

import math
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("rdkit")
from rdkit import Chem, DataStructs

from flowsuite.molecules.fingerprints import morgan
from flowsuite.molecules.metrics import moses
from flowsuite.molecules.metrics.records import scaffold, stacked
from flowsuite.molecules.similarity import internal_diversity
from flowsuite.molecules.smiles import parse
from tests.molecules.metrics.small import GENERATED, TEST, records


def similarities(a, b):
    prints = [[morgan(mol, 1024) for mol in map(parse, texts) if mol] for texts in (a, b)]
    return np.array([DataStructs.BulkTanimotoSimilarity(each, prints[1]) for each in prints[0]])


def test_diversity_and_nearest():
    own = similarities(GENERATED, GENERATED)
    found = internal_diversity(stacked(records(GENERATED), "bits"))
    assert found == pytest.approx((1 - own.mean(), 1 - np.sqrt((own**2).mean(1)).mean()))
    expected = similarities(GENERATED, TEST).max(1).mean()
    assert moses.nearest_similarity(records(GENERATED), records(TEST)) == pytest.approx(expected)


def test_fragments_and_scaffolds():
    counts = moses.fragment_counts(records(["CC(=O)NCC", "CCO"]))
    assert counts["CCO"] == 1 and sum(counts.values()) > 2 and all("*" in key for key in counts if key != "CCO")
    assert scaffold(parse("Cc1ccc2ccccc2c1CCN")) == "c1ccc2ccccc2c1"
    assert scaffold(parse("Cc1ccccc1")) is None and scaffold(parse("CCC")) is None
    assert moses.scaffold_counts(records(["Cc1ccc2ccccc2c1", "CC", "c1ccc2ccccc2c1"])) == {"c1ccc2ccccc2c1": 2}


def test_cosine():
    assert moses.cosine(Counter(a=3, b=4), Counter(a=6, b=8)) == pytest.approx(1)
    assert moses.cosine(Counter(a=1), Counter(b=1)) == 0
    assert moses.cosine(Counter(a=1, b=1), Counter(a=1)) == pytest.approx(1 / math.sqrt(2))
    assert math.isnan(moses.cosine(Counter(), Counter(a=1)))


def test_a_set_against_itself():
    same = records(TEST)
    figures = moses.reference_metrics(same, same)
    assert [figures[name] for name in ("SNN", "Frag", "Scaf")] == pytest.approx([1, 1, 1])
    assert [value for name, value in figures.items() if name.endswith("W1")] == [0, 0, 0, 0]


def test_wasserstein_shifts():
    values = np.array([1.0, 2.0, 5.0])
    assert moses.wasserstein(values, values + 3) == pytest.approx(3)
    assert math.isnan(moses.wasserstein(values, values[:0]))


def test_filters_count_only_where_asked():
    assert moses.own_metrics(records(["CCO", "CC=O"]))["Filters"] == 0.5
    assert math.isnan(moses.own_metrics(records(["CCO"], filters=False))["Filters"])


def test_stereochemistry_stays_in_scaffolds():
    assert "@" in scaffold(parse("O=C1C[C@@H](c2ccccc2)CN1")) and Chem.MolFromSmiles(scaffold(parse("C1CC2CC12")))

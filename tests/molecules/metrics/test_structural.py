"""MMD of graph statistics against its definition."""

import math

import numpy as np
import pytest

pytest.importorskip("rdkit")
from scipy.stats import wasserstein_distance

from flowsuite.molecules.metrics.records import structure
from flowsuite.molecules.metrics.structural import earth_movers, mmd, structural_metrics
from flowsuite.molecules.smiles import parse
from tests.molecules.metrics.small import GENERATED, TEST, records


def test_statistics_of_one_molecule():
    degrees, clustering = structure(parse("CC1CC1"))
    assert degrees[:4].tolist() == [0, 0.25, 0.5, 0.25] and degrees.sum() == 1
    # the methyl has none, two ring atoms have 1, the branching one 1/3
    assert clustering[[0, 33, 99]].tolist() == [0.25, 0.25, 0.5] and clustering.sum() == 1
    assert structure(parse("C"))[0][0] == 1


def test_earth_movers_distance():
    generator = np.random.default_rng(0)
    a, b = generator.dirichlet(np.ones(6), 3), generator.dirichlet(np.ones(6), 2)
    places = np.arange(6) * 0.5
    expected = [[wasserstein_distance(places, places, x, y) for y in b] for x in a]
    np.testing.assert_allclose(earth_movers(a, b, 0.5), expected, atol=1e-12)


def test_mmd_with_repeated_rows_is_that_of_all_pairs():
    rows = np.eye(4)
    a, b = rows[[0, 0, 1, 2]], rows[[1, 3, 3]]

    def mean_kernel(x, y):
        return np.mean([[np.exp(-(np.abs(p.cumsum() - q.cumsum()).sum() ** 2) / 8) for q in y] for p in x])

    expected = mean_kernel(a, a) + mean_kernel(b, b) - 2 * mean_kernel(a, b)
    assert mmd(a, b, 1.0, 2.0) == pytest.approx(expected) and expected > 0.05
    assert mmd(a, a[::-1], 1.0, 2.0) == pytest.approx(0, abs=1e-15)


def test_figures():
    own = structural_metrics(records(TEST), records(TEST))
    assert own == pytest.approx({"degrees MMD": 0, "clustering MMD": 0}, abs=1e-12)
    assert all(value > 0 for value in structural_metrics(records(GENERATED), records(TEST)).values())
    assert all(math.isnan(value) for value in structural_metrics([], records(TEST)).values())

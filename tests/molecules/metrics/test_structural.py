"""MMD of graph statistics against its definition."""

import itertools
import math
from functools import partial

import networkx as nx
import numpy as np
import pytest

pytest.importorskip("rdkit")
from scipy.stats import wasserstein_distance

from flowsuite.molecules.metrics.orbits import orbit_counts
from flowsuite.molecules.metrics.records import structure
from flowsuite.molecules.metrics.structural import earth_movers, mmd, squared_earth_movers, structural_metrics
from flowsuite.molecules.smiles import parse
from tests.molecules.metrics.small import GENERATED, TEST, records

# graph -> orbit of a vertex by its degree
SHAPES = [
    (nx.path_graph(2), {1: 0}),
    (nx.path_graph(3), {1: 1, 2: 2}),
    (nx.cycle_graph(3), {2: 3}),
    (nx.path_graph(4), {1: 4, 2: 5}),
    (nx.star_graph(3), {1: 6, 3: 7}),
    (nx.cycle_graph(4), {2: 8}),
    (nx.lollipop_graph(3, 1), {1: 9, 2: 10, 3: 11}),
    (nx.Graph([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]), {2: 12, 3: 13}),
    (nx.complete_graph(4), {3: 14}),
]


def test_statistics_of_one_molecule():
    degrees, clustering, orbits = structure(parse("CC1CC1"))
    assert degrees[:4].tolist() == [0, 0.25, 0.5, 0.25] and degrees.sum() == 1
    # the methyl has none, two ring atoms have 1, the branching one 1/3
    assert clustering[[0, 33, 99]].tolist() == [0.25, 0.25, 0.5] and clustering.sum() == 1
    # four edges; two bent paths with the methyl; a triangle with a tail
    assert orbits[:4].tolist() == [2, 1, 0.5, 0.75] and orbits[9:12].tolist() == [0.25, 0.5, 0.25]
    assert structure(parse("C"))[0][0] == 1 and not structure(parse("C"))[2].any()


@pytest.mark.parametrize("seed", range(6))
def test_orbits_against_all_subsets(seed):
    graph = nx.gnp_random_graph(9, 0.4, seed=seed)
    expected = np.zeros((9, 15))
    for size in (2, 3, 4):
        for chosen in itertools.combinations(range(9), size):
            part = graph.subgraph(chosen)
            if nx.is_connected(part):
                template = next(i for i, shape in enumerate(SHAPES) if nx.is_isomorphic(part, shape[0]))
                for v in chosen:
                    expected[v, SHAPES[template][1][part.degree(v)]] += 1
    np.testing.assert_array_equal(orbit_counts([list(graph[v]) for v in range(9)]), expected)


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
    distance = partial(squared_earth_movers, width=1.0)
    assert mmd(a, b, distance, 2.0) == pytest.approx(expected) and expected > 0.05
    assert mmd(a, a[::-1], distance, 2.0) == pytest.approx(0, abs=1e-15)


def test_figures():
    own = structural_metrics(records(TEST), records(TEST))
    assert own == pytest.approx({"degrees MMD": 0, "clustering MMD": 0, "orbits MMD": 0, "NSPDK MMD": 0}, abs=1e-12)
    assert all(value > 0 for value in structural_metrics(records(GENERATED), records(TEST)).values())
    assert all(math.isnan(value) for value in structural_metrics([], records(TEST)).values())

"""Random molecules that no chemist has seen, for tests of what happens to graphs."""

from __future__ import annotations

import numpy as np

from flowsuite.molecules.packed import PackedMolecules
from flowsuite.molecules.vocabulary import Vocabulary

VOCABULARY = Vocabulary(["C", "N", "O", "N+", "O-"])


def random_graph(n: int, seed: int, more_bonds: float = 0.3) -> tuple[list[int], list[tuple[int, int, int]]]:
    """A connected graph of `n` atoms: a random tree and some more bonds, of random orders; valences do not matter."""
    draw = np.random.default_rng(seed)
    pairs = {(int(draw.integers(i)), i) for i in range(1, n)}
    for i in range(n):
        pairs |= {(j, i) for j in range(i) if draw.random() < more_bonds / n}
    rename = draw.permutation(n)
    bonds = [(int(rename[i]), int(rename[j]), int(draw.integers(3))) for i, j in sorted(pairs)]
    return draw.integers(len(VOCABULARY), size=n).tolist(), bonds


def random_molecules(sizes: list[int], seed: int = 0, more_bonds: float = 1.0) -> PackedMolecules:
    graphs = [random_graph(n, seed * 1000 + k, more_bonds) for k, n in enumerate(sizes)]
    return PackedMolecules.from_graphs(graphs, VOCABULARY)

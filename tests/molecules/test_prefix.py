"""Prefix states and decisions against molecules that are built decision by decision, in plain Python."""

from __future__ import annotations

import networkx as nx
import pytest
import torch

from flowsuite.molecules.graphs import MAX_AGE
from flowsuite.molecules.packed import PackedMolecules, ordered_batch, to_dense
from flowsuite.molecules.prefix import PADDING, expand
from flowsuite.molecules.state import LARGEST_RING, UNREACHABLE
from flowsuite.molecules.vocabulary import NO_BOND
from tests.molecules.graphs_made import VOCABULARY, random_molecules

STOP = len(VOCABULARY)


class Growing:
    """One molecule while it is built."""

    def __init__(self):
        self.graph, self.atoms, self.ring = nx.Graph(), [], []
        self.frontier = 0

    def add_atom(self, kind: int) -> None:
        self.graph.add_node(len(self.atoms))
        self.atoms.append(kind)
        self.ring.append(0)

    def add_bond(self, to: int, kind: int) -> None:
        new = len(self.atoms) - 1
        if self.graph.degree(new) == 0:
            self.frontier = to
        if nx.has_path(self.graph, new, to):
            for path in nx.all_shortest_paths(self.graph, new, to):
                for atom in path:
                    size = min(len(path), LARGEST_RING)
                    self.ring[atom] = min(self.ring[atom] or size, size)
        self.graph.add_edge(new, to, kind=kind)

    def distance(self, j: int) -> int:
        new = len(self.atoms) - 1
        if not nx.has_path(self.graph, new, j):
            return UNREACHABLE
        return nx.shortest_path_length(self.graph, new, j)

    def features(self) -> dict[str, list]:
        n = len(self.atoms)
        orders = dict(self.graph.degree(weight=None))
        orders = {k: sum(d["kind"] + 1 for *_, d in self.graph.edges(k, data=True)) for k in orders}
        return {
            "atom": list(self.atoms),
            "valence_left": [VOCABULARY.valences[kind] - orders[k] for k, kind in enumerate(self.atoms)],
            "ring": list(self.ring),
            "age": [min(n - 1 - k, MAX_AGE) for k in range(n)],
            "frontier": [0 if k < self.frontier else 1 if k == self.frontier else 2 for k in range(n)],
        }

    def bonds(self) -> set[tuple[int, int, int]]:
        kinds = [(a, b, d["kind"]) for a, b, d in self.graph.edges(data=True)]
        return {*kinds, *((b, a, kind) for a, b, kind in kinds)}


def decisions(atoms: list[int], bonds, window: int, stop: bool):
    """`(kind, target, state, j)` of every decision of one molecule in turn; `state` is as it is then."""
    growing = Growing()
    for i, atom in enumerate(atoms):
        yield "atom", atom, growing, None
        growing.add_atom(atom)
        for j in range(max(0, i - window), i):
            order = int(bonds[i][j])
            yield "edge", order - 1 if order else NO_BOND, growing, j
            if order:
                growing.add_bond(j, order - 1)
    if stop:
        yield "atom", STOP, growing, None


def check_state(graphs, state: int, molecule: int, growing: Growing) -> None:
    """That graph `state` of the batch is the molecule as it has grown."""
    first, size = int(graphs.start[state]), int(graphs.size[state])
    assert size == len(growing.atoms) and int(graphs.molecule[state]) == molecule
    rows = slice(first, first + size)
    assert (graphs.batch[rows] == state).all()
    for name, wanted in growing.features().items():
        assert getattr(graphs, name)[rows].tolist() == wanted, name
    source, target = graphs.edge_index
    mine = (graphs.batch[source] == state).nonzero()[:, 0]
    found = [(int(source[e]) - first, int(target[e]) - first, int(graphs.edge_type[e])) for e in mine]
    assert len(found) == len(set(found)) and set(found) == growing.bonds()


def check_batch(atoms, bonds, window: int, stop: bool) -> None:
    prefixes = expand(atoms, bonds, VOCABULARY, window, stop)
    graphs, steps = prefixes.graphs, {"atom": prefixes.atoms, "edge": prefixes.edges}
    at, used = {"atom": 0, "edge": 0}, [0] * graphs.num_graphs
    for b in range(atoms.shape[0]):
        real = [kind for kind in atoms[b].tolist() if kind >= 0]
        for kind, target, growing, j in decisions(real, bonds[b].tolist(), window, stop):
            now, e = steps[kind], at[kind]
            state = int(now.state[e])
            assert (int(now.target[e]), int(now.molecule[e])) == (target, b)
            check_state(graphs, state, b, growing)
            if kind == "edge":
                assert int(now.earlier[e]) == int(graphs.start[state]) + j
                assert int(now.span[e]) == len(growing.atoms) - 1 - j
                assert int(now.distance[e]) == growing.distance(j)
                assert int(graphs.newest()[state]) == int(graphs.start[state]) + len(growing.atoms) - 1
            at[kind], used[state] = e + 1, used[state] + 1
    assert at == {kind: len(each.target) for kind, each in steps.items()}
    assert graphs.multiplicity.tolist() == used and prefixes.shape == (atoms.shape[0],)
    n_bonds = int((bonds > 0).sum()) // 2
    assert graphs.num_graphs == atoms.shape[0] + int((atoms >= 0).sum()) + n_bonds


@pytest.mark.parametrize(
    ("sizes", "more"), [([1], 0), ([1, 2, 1, 3], 1), ([9, 5, 1, 7], 2), ([16, 12], 1.5), ([1, 1], 0)]
)
@pytest.mark.parametrize("stop", [False, True])
def test_every_decision_sees_what_it_should(sizes, more, stop):
    packed = random_molecules(sizes, seed=len(sizes), more_bonds=more)
    atoms, bonds = to_dense(ordered_batch(packed, torch.arange(len(sizes)), 20, torch.Generator().manual_seed(0)))
    check_batch(atoms, bonds, 20, stop)


@pytest.mark.parametrize("window", [3, 5])
def test_a_window_leaves_decisions_out(window):
    chains = [([0] * 8, [(i, i + 1, 0) for i in range(7)]), ([1] * 7, [(i, (i + 1) % 7, i % 2) for i in range(7)])]
    packed = PackedMolecules.from_graphs(chains, VOCABULARY)
    atoms, bonds = to_dense(ordered_batch(packed, torch.arange(2), window, torch.Generator().manual_seed(0)))
    check_batch(atoms, bonds, window, True)


def test_large_rings_are_one_class_and_small_ones_win():
    ring = [(i, (i + 1) % 12, 0) for i in range(12)]
    packed = PackedMolecules.from_graphs([([0] * 12, ring), ([0] * 12, [*ring, (0, 2, 0)])], VOCABULARY)
    atoms, bonds = to_dense(ordered_batch(packed, torch.arange(2), 12, torch.Generator().manual_seed(0)))
    check_batch(atoms, bonds, 12, True)
    last = expand(atoms, bonds, VOCABULARY, 12, True).graphs
    assert last.ring[last.batch == last.num_graphs - 1].sort().values.tolist() == [3, 3, 3, *[LARGEST_RING] * 9]


def test_decisions_about_absent_atoms():
    packed = random_molecules([2, 4], seed=2)
    atoms, bonds = packed.dense()
    prefixes = expand(atoms, bonds, VOCABULARY, 5, stop=False, pad_to=5)
    assert prefixes.atoms.target.reshape(2, 5)[0].tolist() == [*atoms[0, :2].tolist(), *[PADDING] * 3]
    assert (prefixes.edges.target.reshape(2, 10)[0, 1:] == NO_BOND).all()
    padding_row = prefixes.graphs.atom.shape[0]
    assert prefixes.edges.newest.reshape(2, 10)[0, 1:].tolist() == [padding_row] * 9
    with pytest.raises(ValueError, match="molecules of 4 atoms do not fit the 3 of the model"):
        expand(atoms, bonds, VOCABULARY, 5, stop=False, pad_to=3)

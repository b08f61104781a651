"""Breadth-first orders against a queue."""

from __future__ import annotations

from collections import deque

import pytest
import torch

from flowsuite.molecules.order import bfs_order, bond_spans, draw_orders, random_priority
from flowsuite.molecules.packed import PackedMolecules, ordered_batch, to_dense
from flowsuite.molecules.vocabulary import Vocabulary
from tests.molecules.graphs_made import VOCABULARY, random_molecules


def queue_order(adjacency, priority, root: int) -> list[int]:
    """Breadth-first search as the textbooks have it."""
    waiting, found = deque([root]), [root]
    while waiting:
        atom = waiting.popleft()
        for other in sorted(adjacency[atom].nonzero()[:, 0].tolist(), key=lambda k: int(priority[k])):
            if other not in found:
                found.append(other)
                waiting.append(other)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_bfs_is_that_of_a_queue(seed):
    packed = random_molecules([1, 2, 5, 9, 14, 20, 20], seed)
    bonds = packed.dense()[1] > 0
    generator = torch.Generator().manual_seed(seed)
    priority, root = random_priority(packed.sizes, packed.max_atoms, generator)
    order = bfs_order(bonds, priority, root)
    for b, size in enumerate(packed.sizes.tolist()):
        assert order[b, :size].tolist() == queue_order(bonds[b], priority[b], int(root[b]))
        assert order[b].sort().values.tolist() == list(range(20))
        assert order[b, size:].tolist() == list(range(size, 20))


def test_roots_and_priorities_are_uniform():
    sizes = torch.full((6000,), 3)
    priority, root = random_priority(sizes, 5, torch.Generator().manual_seed(0))
    assert (priority[:, 3:] == torch.tensor([3, 4])).all()
    code = (priority[:, :3] * torch.tensor([9, 3, 1])).sum(1)
    counts = code.unique(return_counts=True)[1]
    assert len(counts) == 6 and (counts > 850).all()
    assert (torch.bincount(root, minlength=3) > 1850).all() and int(root.max()) == 2


def test_orders_are_drawn_again_until_they_fit():
    ring = [(i, (i + 1) % 6, 0) for i in range(6)]
    star = [(0, i, 0) for i in range(1, 6)]
    packed = PackedMolecules.from_graphs([([0] * 6, ring), ([0] * 6, star)], VOCABULARY)
    bonds, generator = packed.dense()[1] > 0, torch.Generator().manual_seed(0)
    order, draws = draw_orders(bonds, packed.sizes, 4, generator=generator)
    assert (bond_spans(bonds, order) <= 4).all()
    seen = [int(draw_orders(bonds[1:], packed.sizes[1:], 4, generator=generator)[1]) for _ in range(60)]
    assert max(seen) > 1  # five of six stars do not begin with the centre; those that do span five places
    _, draws = draw_orders(bonds, packed.sizes, 1, tries=7, generator=generator)
    assert draws.tolist() == [8, 8]


def test_a_molecule_without_order_is_named():
    packed = PackedMolecules.from_graphs(
        [([0, 0], [(0, 1, 0)]), ([0] * 6, [(0, i, 0) for i in range(1, 6)])], VOCABULARY
    )
    with pytest.raises(ValueError, match=r"molecule 1: no breadth-first order found .* at most 1 atoms"):
        ordered_batch(packed, torch.tensor([0, 1]), 1)


def test_spans_without_bonds():
    packed = PackedMolecules.from_graphs([([0], [])], Vocabulary(["C"]))
    order, draws = draw_orders(packed.dense()[1] > 0, packed.sizes, 1)
    assert order.tolist() == [[0]] and draws.tolist() == [1]


def test_every_atom_comes_after_a_neighbour():
    packed = random_molecules([3, 8, 12, 20] * 5, seed=3)
    atoms, bonds = to_dense(ordered_batch(packed, torch.arange(20), 19, torch.Generator().manual_seed(1)))
    has_earlier = bonds.tril(-1).sum(2) > 0
    real = atoms >= 0
    assert torch.equal(has_earlier[:, 1:], real[:, 1:]) and not has_earlier[:, 0].any()
    first = (bonds.tril(-1) > 0).float().argmax(2)
    for b, size in enumerate(packed.sizes.tolist()):
        assert first[b, 1:size].tolist() == sorted(first[b, 1:size].tolist())

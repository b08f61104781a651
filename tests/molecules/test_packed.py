"""Packed molecules, dense molecules and PyG batches are the same molecules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowsuite.molecules.packed import PackedMolecules, ordered_batch, permute, to_batch, to_dense
from tests.molecules.graphs_made import VOCABULARY, random_graph, random_molecules

SIZES = [1, 4, 7, 2, 11]


def normal(graph):
    """A graph with the larger atom of each bond first, and bonds sorted."""
    classes, bonds = graph
    return list(classes), sorted((max(i, j), min(i, j), kind) for i, j, kind in bonds)


def test_graphs_come_back():
    graphs = [random_graph(n, n) for n in SIZES]
    packed = PackedMolecules.from_graphs(graphs, VOCABULARY)
    assert len(packed) == 5 and packed.max_atoms == 11
    assert packed.atoms.dtype == packed.bonds.dtype == torch.uint8
    assert [normal(packed.graph(i)) for i in range(5)] == [normal(graph) for graph in graphs]


def test_selection():
    packed = random_molecules(SIZES)
    some = packed[[3, 0, 3, 4]]
    assert [some.graph(i) for i in range(4)] == [packed.graph(i) for i in (3, 0, 3, 4)]
    assert packed[2].graph(0) == packed.graph(2) and len(packed[[]]) == 0


def test_dense_there_and_back():
    packed = random_molecules(SIZES)
    atoms, bonds = packed.dense(torch.tensor([4, 1, 0]), max_atoms=13)
    assert atoms.shape == (3, 13) and bonds.shape == (3, 13, 13) and torch.equal(bonds, bonds.mT)
    assert (atoms[2] >= 0).sum() == 1 and not bonds[2].any()
    again = PackedMolecules.from_dense(atoms, bonds, VOCABULARY)
    assert [normal(again.graph(i)) for i in range(3)] == [normal(packed.graph(i)) for i in (4, 1, 0)]


def test_batches_there_and_back():
    packed = random_molecules(SIZES)
    atoms, bonds = packed.dense()
    batch = to_batch(atoms, bonds)
    assert batch.num_nodes == sum(SIZES) and batch.ptr.tolist() == [0, 1, 5, 12, 14, 25]
    assert batch.edge_index.shape[1] == 2 * int(packed.n_bonds.sum()) and batch.y is None
    for ours, theirs in zip(to_dense(batch), (atoms, bonds), strict=True):
        assert torch.equal(ours, theirs)


def test_an_order_permutes_and_no_more():
    packed = random_molecules([6, 6], seed=4)
    atoms, bonds = packed.dense()
    order = torch.stack([torch.randperm(6), torch.randperm(6)])
    moved = permute(atoms, bonds, order)
    for b in range(2):
        for k in range(6):
            assert moved[0][b, k] == atoms[b, order[b, k]]
            assert torch.equal(moved[1][b, k], bonds[b, order[b, k]][order[b]])


def test_batches_carry_properties():
    packed = random_molecules([3, 4])
    packed.properties, packed.names = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), ("a", "b")
    batch = ordered_batch(packed, torch.tensor([1, 0]), 4)
    assert batch.y.tolist() == [[3.0, 4.0], [1.0, 2.0]]


def test_files(tmp_path):
    packed = random_molecules(SIZES)
    packed.properties, packed.names = torch.randn(5, 1), ("logp",)
    packed.save(tmp_path / "a.npz", more=np.arange(3))
    again = PackedMolecules.load(tmp_path / "a.npz")
    assert again.vocabulary == VOCABULARY and again.names == ("logp",)
    for name in ("atoms", "sizes", "bonds", "n_bonds", "properties"):
        assert torch.equal(getattr(again, name), getattr(packed, name))


def test_files_that_do_not_fit_together(tmp_path):
    packed = random_molecules(SIZES)
    packed.sizes = packed.sizes + 1
    packed.save(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"a\.npz: its atoms, bonds and sizes do not belong together"):
        PackedMolecules.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", atoms=np.arange(3))
    with pytest.raises(ValueError, match=r"b\.npz does not hold packed molecules"):
        PackedMolecules.load(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"c\.npz"):
        PackedMolecules.load(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bonds", lambda bonds: bonds + np.array([50, 0, 0], np.uint8)),  # place beyond the molecule
        ("bonds", lambda bonds: bonds[:, [1, 0, 2]]),
        ("bonds", lambda bonds: bonds + np.array([0, 0, 3], np.uint8)),  # class that there is not
        ("bonds", lambda bonds: bonds[:, :2]),
        ("bonds", lambda bonds: bonds.astype(float)),
        ("sizes", lambda sizes: sizes + np.array([-2, 2, 0, 0, 0])),
        ("n_bonds", lambda counts: counts + np.array([-1, 1, 0, 0, 0])),
        ("n_bonds", lambda counts: np.append(counts, 0)),
        ("atoms", lambda atoms: atoms.astype(str)),
        ("properties", lambda values: values[:2]),
        ("names", lambda names: np.array(["logp"])),
        ("vocabulary", lambda names: np.array(["Xx"])),
        ("format", lambda number: np.array("one")),
    ],
)
def test_damaged_files_are_named(tmp_path, name, value):
    random_molecules(SIZES).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        arrays = dict(file)
    arrays[name] = value(arrays[name])
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=r"a\.npz.*(belong|bond \[|must be|unknown atom class|does not hold)"):
        PackedMolecules.load(tmp_path / "a.npz")

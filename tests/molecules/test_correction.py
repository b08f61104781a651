"""Validity correction on tensors."""

from __future__ import annotations

import pytest
import torch

from flowsuite.molecules.correction import fragments, largest_fragment, lower_bonds
from flowsuite.molecules.vocabulary import Vocabulary

VALENCES = Vocabulary(("C", "N", "O", "F")).valences
C, N, O, F = range(4)  # noqa: E741


def dense(atoms: list[int], bonds: dict[tuple[int, int], int], n: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    n = n or len(atoms)
    orders = torch.zeros(1, n, n, dtype=torch.long)
    for (i, j), order in bonds.items():
        orders[0, i, j] = orders[0, j, i] = order
    return torch.tensor([atoms + [-1] * (n - len(atoms))]), orders


CASES = {
    "nothing to do": ([C, O], {(0, 1): 2}, {(0, 1): 2}, 0),
    "one step": ([C, F], {(0, 1): 2}, {(0, 1): 1}, 1),
    "the highest order first": ([O, C, C], {(0, 1): 1, (0, 2): 2}, {(0, 1): 1, (0, 2): 1}, 1),
    "the first of equals": ([N, C, C], {(0, 1): 2, (0, 2): 2}, {(0, 1): 1, (0, 2): 2}, 1),
    "down to nothing": ([F, C, C], {(0, 1): 1, (0, 2): 1}, {(0, 2): 1}, 1),
    "several steps": ([O, O, O], {(0, 1): 3, (1, 2): 3, (0, 2): 3}, {(0, 1): 1, (1, 2): 1, (0, 2): 1}, 6),
}


@pytest.mark.parametrize("name", CASES)
def test_bonds_are_lowered(name):
    atoms, bonds, wanted, steps = CASES[name]
    table, orders = dense(atoms, bonds)
    given = orders.clone()
    got, lowered = lower_bonds(table, orders, VALENCES)
    assert torch.equal(orders, given)  # the input stays
    assert lowered.tolist() == [steps] and torch.equal(got, got.mT)
    assert int(orders.sum() - got.sum()) == 2 * steps
    assert torch.equal(got, dense(atoms, wanted)[1])
    assert (got.sum(2) <= torch.tensor([*VALENCES, 0])[table]).all()


def one_by_one(atoms: list[int], orders: list[list[int]]) -> list[list[int]]:
    """The same in plain Python."""
    while True:
        over = [i for i, a in enumerate(atoms) if sum(orders[i]) > (VALENCES[a] if a >= 0 else 0)]
        if not over:
            return orders
        i = over[0]
        j = orders[i].index(max(orders[i]))
        orders[i][j] -= 1
        orders[j][i] -= 1


def random_tables(count: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    atoms = torch.randint(-1, 4, (count, n))
    upper = (torch.randint(0, 4, (count, n, n)) * (torch.rand(count, n, n) < 0.4)).triu(1)
    return atoms, upper + upper.mT


def test_batches_are_corrected_as_molecules_one_by_one():
    atoms, orders = random_tables(60, 7)
    got, lowered = lower_bonds(atoms, orders, VALENCES)
    assert got.tolist() == [one_by_one(a, o) for a, o in zip(atoms.tolist(), orders.tolist(), strict=True)]
    assert torch.equal(lowered, (orders - got).sum((1, 2)) // 2) and lowered.max() > 5


def test_largest_fragment():
    networkx = pytest.importorskip("networkx")
    atoms, orders = random_tables(60, 9)
    present = atoms >= 0
    orders = orders * (torch.rand(60, 9, 9) < 0.4).triu(1)
    orders = (orders + orders.mT) * (present[:, :, None] & present[:, None, :])
    kept, bonds, lost = largest_fragment(atoms, orders)
    for b in range(60):
        graph = networkx.from_numpy_array(orders[b].numpy())
        parts = [sorted(part) for part in networkx.connected_components(graph)]
        labels = {i: part[0] for part in parts for i in part}
        assert fragments(orders)[b].tolist() == [labels[i] for i in range(9)]
        real = [part for part in parts if atoms[b, part[0]] >= 0]
        best = max(real, key=len, default=[])
        assert (kept[b] >= 0).nonzero()[:, 0].tolist() == best
        assert int(lost[b]) == int(present[b].sum()) - len(best)
        inside = torch.zeros(9, dtype=torch.bool)
        inside[best] = True
        assert torch.equal(bonds[b], orders[b] * (inside[:, None] & inside))
        assert torch.equal(kept[b][inside], atoms[b][inside])


def test_a_long_chain_is_one_fragment():
    atoms, orders = dense([C] * 38, {(i, i + 1): 1 for i in range(37)})
    kept, bonds, lost = largest_fragment(atoms, orders)
    assert torch.equal(kept, atoms) and torch.equal(bonds, orders) and lost.tolist() == [0]
    single = dense([O], {})
    assert largest_fragment(*single)[0].tolist() == [[O]]

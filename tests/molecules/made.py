"""Molecules and models made for the tests, without RDKit."""

from __future__ import annotations

import torch

from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.packed import PackedMolecules, ordered_batch
from flowsuite.molecules.vocabulary import Vocabulary

ATOMS = ("C", "N", "O", "F")
DECISIONS = ("spline", "categorical", "modulo", "affine")


def random_graph(n: int, valences: tuple[int, ...], generator: torch.Generator):
    """A connected graph of up to `n` atoms with some rings, within the valences: `(classes, [(i, j, class), ...])`."""

    def draw(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    classes, bonds, left = [0], {}, [valences[0]]
    for _ in range(n - 1):
        free = [atom for atom, value in enumerate(left) if value > 0]
        if not free:
            break
        new, kind = len(classes), draw(len(valences))
        classes.append(kind)
        left.append(valences[kind])
        for other in {free[draw(len(free))] for _ in range(1 + draw(2))}:
            order = 1 + draw(min(3, left[new], left[other])) if left[new] and left[other] else 0
            if order:
                bonds[new, other] = order - 1
                left[new] -= order
                left[other] -= order
    return classes, [(i, j, kind) for (i, j), kind in bonds.items()]


def molecules(count: int = 24, largest: int = 7, atoms=ATOMS, seed: int = 0) -> PackedMolecules:
    """Random molecules of 1 to `largest` atoms; the first is a single atom."""
    generator, vocabulary = torch.Generator().manual_seed(seed), Vocabulary(atoms)
    sizes = [1, largest, *torch.randint(2, largest + 1, (count - 2,), generator=generator).tolist()]
    graphs = [random_graph(n, vocabulary.valences, generator) for n in sizes]
    return PackedMolecules.from_graphs(graphs, vocabulary)


def batch(count: int = 24, largest: int = 7, window: int = 6, **options):
    """The same in a random breadth-first order, as a PyG batch."""
    return ordered_batch(molecules(count, largest, **options), torch.arange(count), window)


def model(decision: str = "categorical", seed: int = 0, spread: float = 0.3, **options) -> GraphAF:
    """A small GraphAF with weights that are far from their start."""
    torch.manual_seed(seed)
    given = {"atoms": ATOMS, "max_atoms": 8, "window": 6, "hidden": 12, "layers": 2, **options}
    sizes = {"hidden": 12} if decision == "categorical" else {"hidden": 12, "layers": 3}
    flow = GraphAF(decision=decision, **{"decision_options": sizes, **given}).eval()
    for parameter in flow.parameters():
        if parameter.requires_grad:
            parameter.data.add_(spread * torch.randn_like(parameter))
    return flow

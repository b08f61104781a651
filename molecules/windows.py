"""Which molecules have breadth-first orders that fit the window."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.core.training.seeding import fold_seed
from flowsuite.molecules.order import bfs_order, bond_spans, random_priority
from flowsuite.molecules.packed import PackedMolecules

FIRST_DRAWS = 4  # orders of every molecule
MORE_DRAWS = 200  # of those one of which did not fit
MIN_SHARE = 0.05  # of the orders that must fit, so that training finds one in a few dozen draws
BATCH = 1024


def count_fitting(adjacency: Tensor, sizes: Tensor, window: int, generator: torch.Generator) -> Tensor:
    """(B,) bool: one random order of each molecule fits the window."""
    order = bfs_order(adjacency, *random_priority(sizes, adjacency.shape[1], generator))
    return bond_spans(adjacency, order) <= window


def fitting_window(packed: PackedMolecules, window: int) -> tuple[Tensor, int]:
    """`(fits (M,), misfits)`: molecules at least `MIN_SHARE` of whose orders have all bonds within the window, and how
    many of M random orders had not.

    Molecules of up to `window + 1` atoms always fit. The draws are the same every time.
    """
    fits = torch.ones(len(packed), dtype=torch.bool)
    generator = torch.Generator().manual_seed(fold_seed("window", window))
    doubtful = (packed.sizes > window + 1).nonzero()[:, 0]
    doubtful = doubtful[packed.sizes[doubtful].argsort(stable=True)]
    misfits = 0
    for indices in doubtful.split(BATCH) if doubtful.numel() else ():
        adjacency, sizes = packed.dense(indices)[1] > 0, packed.sizes[indices]
        drawn = torch.stack([count_fitting(adjacency, sizes, window, generator) for _ in range(FIRST_DRAWS)])
        misfits += int((~drawn[0]).sum())
        some = (~drawn.all(0)).nonzero()[:, 0]
        if some.numel():
            rows, few = adjacency[some], sizes[some]
            more = sum(count_fitting(rows, few, window, generator).float() for _ in range(MORE_DRAWS)) / MORE_DRAWS
            fits[indices[some]] = more >= MIN_SHARE
    return fits, misfits

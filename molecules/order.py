"""Breadth-first orders of the atoms, for whole batches at a time."""

from __future__ import annotations

import torch
from torch import Tensor


TRIES = 500  # orders drawn for a molecule before giving up; those whose orders hardly ever fit are not encoded


def bfs_order(adjacency: Tensor, priority: Tensor, root: Tensor) -> Tensor:
    """Breadth-first order from `root`, neighbours visited by increasing `priority`.

    A queue visits atoms in the order of (place of the first visited neighbour, priority), so that one argmin a step
    over the batch finds the next atom of every molecule at once.

    Args:
        adjacency: (B, N, N) bool, symmetric; padding rows are all False.
        priority: (B, N) int, distinct numbers from 0 to N - 1 in each row.
        root: (B,) int, the first atom.

    Returns:
        (B, N) int: `order[b, k]` is the atom visited at step k; atoms that cannot be reached from the root, padding
        among them, follow by priority.
    """
    batch, n, _ = adjacency.shape
    rows = torch.arange(batch, device=adjacency.device)
    unreached = n  # place of the parent of an atom that no visited atom is bonded to
    parent = torch.full((batch, n), unreached, dtype=torch.long, device=adjacency.device)
    parent[rows, root] = -1
    visited = torch.zeros((batch, n), dtype=torch.bool, device=adjacency.device)
    order = []
    for place in range(n):
        key = (parent * n + priority).masked_fill(visited, (unreached + 1) * n)
        atom = key.argmin(1)
        order.append(atom)
        visited[rows, atom] = True
        parent = torch.where(adjacency[rows, atom], parent.clamp_max(place), parent)
    return torch.stack(order, 1)


def random_priority(sizes: Tensor, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """`(priority (B, n), root (B,))`: a uniform permutation of the real atoms of each molecule, and a uniform root.

    Padding gets the last priorities, in order. `sizes` is (B,).
    """
    batch = sizes.shape[0]
    padding = torch.arange(n)[None, :] >= sizes[:, None]
    keys = torch.rand((batch, n), generator=generator).masked_fill(padding, 2.0)
    priority = keys.argsort(dim=1, stable=True).argsort(1)
    root = (torch.rand(batch, generator=generator) * sizes).long().clamp_max(sizes - 1)
    return priority, root


def bond_spans(adjacency: Tensor, order: Tensor) -> Tensor:
    """(B,) the largest distance in `order` between two bonded atoms; 0 without bonds."""
    place = order.argsort(1)
    distance = (place[:, :, None] - place[:, None, :]).abs()
    return torch.where(adjacency, distance, 0).amax((1, 2))


def draw_orders(
    adjacency: Tensor, sizes: Tensor, window: int, tries: int = TRIES, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Random breadth-first orders in which no bond spans more than `window` places.

    Orders of molecules that do not fit are drawn again, up to `tries` times.

    Returns:
        `(order (B, N), draws (B,))`; `draws` counts what was drawn, `tries + 1` where nothing fitted.
    """
    order = torch.empty(adjacency.shape[:2], dtype=torch.long)
    draws = torch.full((adjacency.shape[0],), tries + 1)
    left = torch.arange(adjacency.shape[0])
    for attempt in range(1, tries + 1):
        drawn = bfs_order(adjacency[left], *random_priority(sizes[left], adjacency.shape[1], generator))
        order[left] = drawn
        fits = bond_spans(adjacency[left], drawn) <= window
        draws[left[fits]] = attempt
        left = left[~fits]
        if not left.numel():
            break
    return order, draws

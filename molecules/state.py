"""A batch of growing molecules, as dense tensors: what replays training orders and what the sampler builds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

UNREACHABLE = 100  # distance of two atoms that no path connects; longer paths count as this too
LARGEST_RING = 9  # rings of this size and above are one class


class GrowingMolecules:
    """`B` molecules of at most `N` atoms, grown by one atom or one bond at a time.

    Bonds are always between the newest atom and an earlier one, as in a breadth-first generation order. Path lengths
    and smallest rings are kept up to date in O(N^2) a bond: a new bond (i, j) makes
    `d(k, l) = min(d(k, l), d(k, i) + 1 + d(j, l), d(k, j) + 1 + d(i, l))`, and closes a ring of `d(i, j) + 1` atoms
    through all atoms on a shortest path between i and j.

    Args:
        batch: B.
        max_atoms: N.
        valences: largest sum of bond orders of every atom class.
        device: where the tensors are.

    Attributes:
        atoms: (B, N) atom class, -1 where there is none yet.
        bonds: (B, N, N) uint8, 0 for none, else the bond order; symmetric.
        size: (B,) atoms so far.
        valence_left: (B, N) largest valence less the bond orders so far.
        distance: (B, N, N) uint8 path lengths, `UNREACHABLE` where there is no path.
        ring: (B, N) uint8 size of the smallest ring that was closed through an atom, 0 for none, at most LARGEST_RING.
        frontier: (B,) the first neighbour of the newest atom that has bonds; atoms before it get none any more.
    """

    def __init__(self, batch: int, max_atoms: int, valences: Sequence[int], device: torch.device | str = "cpu"):
        self.valences = torch.tensor([*valences, 0], dtype=torch.int8, device=device)  # the last: no atom, class -1
        n = max_atoms
        self.atoms = torch.full((batch, n), -1, dtype=torch.long, device=device)
        self.bonds = torch.zeros((batch, n, n), dtype=torch.uint8, device=device)
        self.size = torch.zeros(batch, dtype=torch.long, device=device)
        self.valence_left = torch.zeros((batch, n), dtype=torch.int8, device=device)
        self.distance = torch.full((batch, n, n), UNREACHABLE, dtype=torch.uint8, device=device)
        self.ring = torch.zeros((batch, n), dtype=torch.uint8, device=device)
        self.frontier = torch.zeros(batch, dtype=torch.long, device=device)

    @property
    def max_atoms(self) -> int:
        return self.atoms.shape[1]

    def add_atom(self, rows: Tensor, classes: Tensor) -> None:
        """A new atom of the given class for each of the molecules `rows`."""
        new = self.size[rows]
        self.atoms[rows, new] = classes
        self.valence_left[rows, new] = self.valences[classes]
        self.distance[rows, new, new] = 0
        self.size[rows] = new + 1

    def add_bond(self, rows: Tensor, to: Tensor, order: Tensor) -> None:
        """A bond of the given order (1..3) from the newest atom of each of the molecules `rows` to atom `to`."""
        new = self.size[rows] - 1
        first = self.bonds[rows, new].sum(1, dtype=torch.long) == 0
        self.frontier[rows] = torch.where(first, to, self.frontier[rows])
        order = order.to(torch.uint8)
        self.bonds[rows, new, to] = order
        self.bonds[rows, to, new] = order
        self.valence_left[rows, new] -= order
        self.valence_left[rows, to] -= order
        self._update_paths(rows, new, to)

    def _update_paths(self, rows: Tensor, i: Tensor, j: Tensor) -> None:
        distance = self.distance[rows]
        each = torch.arange(rows.shape[0], device=rows.device)
        from_i, from_j, length = distance[each, i], distance[each, j], distance[each, i, j]
        closed = (length < UNREACHABLE)[:, None] & (from_i + from_j == length[:, None])
        size = (length + 1).clamp_max(LARGEST_RING)[:, None]
        ring = self.ring[rows]
        self.ring[rows] = torch.where(closed & ((ring == 0) | (size < ring)), size, ring)
        through = torch.minimum(from_i[:, :, None] + from_j[:, None, :], from_j[:, :, None] + from_i[:, None, :]) + 1
        self.distance[rows] = torch.minimum(distance, through.clamp_max(UNREACHABLE))

    def drop_newest(self, rows: Tensor) -> None:
        """Takes back the newest atom of each of the molecules `rows`; it must have no bond."""
        newest = self.size[rows] - 1
        self.atoms[rows, newest] = -1
        self.valence_left[rows, newest] = 0
        self.distance[rows, newest, newest] = UNREACHABLE
        self.size[rows] = newest

"""Partly built molecules as one disjoint graph: what the conditioners read."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from flowsuite.molecules.state import GrowingMolecules

MAX_AGE = 12  # places before the newest atom beyond which all atoms count as equally old


@dataclass
class StateGraphs:
    """S partly built molecules with R atoms in all, in PyG's terms one batch of graphs.

    Attributes:
        atom: (R,) atom class.
        valence_left: (R,) bond orders that each atom may still take.
        ring: (R,) smallest ring through each atom, 0 for none, see `GrowingMolecules`.
        age: (R,) places before the newest atom of the same graph, at most `MAX_AGE`.
        frontier: (R,) 0, 1, 2: before, at, after the first neighbour of the newest bonded atom.
        edge_index: (2, E) both directions of every bond.
        edge_type: (E,) bond class: 0 single, 1 double, 2 triple.
        batch: (R,) graph of each atom.
        size: (S,) atoms of each graph.
        start: (S,) first row of each graph.
        molecule: (S,) molecule of the batch that each graph is a state of: the row of its context.
        multiplicity: (S,) number of decisions taken in each state; None if nobody asked.
    """

    atom: Tensor
    valence_left: Tensor
    ring: Tensor
    age: Tensor
    frontier: Tensor
    edge_index: Tensor
    edge_type: Tensor
    batch: Tensor
    size: Tensor
    start: Tensor
    molecule: Tensor
    multiplicity: Tensor | None = None

    @property
    def num_graphs(self) -> int:
        return self.size.shape[0]

    def newest(self) -> Tensor:
        """(S,) row of the newest atom of each graph; R for an empty one."""
        return torch.where(self.size > 0, self.start + self.size - 1, self.atom.shape[0])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> StateGraphs:
        return StateGraphs(*move(self, device, non_blocking))


def move(record, device: torch.device | str, non_blocking: bool = False) -> list:
    """The fields of a dataclass of tensors, on another device."""
    values = [getattr(record, field.name) for field in fields(record)]
    return [v.to(device, non_blocking=non_blocking) if hasattr(v, "to") else v for v in values]


def frontier_relation(place: Tensor, frontier: Tensor) -> Tensor:
    return (place > frontier).long() + (place >= frontier)


def current_graphs(molecules: GrowingMolecules, rows: Tensor) -> StateGraphs:
    """The present states of the molecules `rows` (int) of a growing batch; `molecule` holds their numbers."""
    size = molecules.size[rows]
    present = torch.arange(molecules.max_atoms, device=rows.device)[None, :] < size[:, None]
    batch, place = present.nonzero(as_tuple=True)
    start = size.cumsum(0) - size
    graph, i, j = molecules.bonds[rows].nonzero(as_tuple=True)
    of = rows[batch]
    return StateGraphs(
        atom=molecules.atoms[of, place],
        valence_left=molecules.valence_left[of, place].long(),
        ring=molecules.ring[of, place].long(),
        age=(size[batch] - 1 - place).clamp_max(MAX_AGE),
        frontier=frontier_relation(place, molecules.frontier[of]),
        edge_index=torch.stack((start[graph] + i, start[graph] + j)),
        edge_type=molecules.bonds[rows[graph], i, j].long() - 1,
        batch=batch,
        size=size,
        start=start,
        molecule=rows,
    )

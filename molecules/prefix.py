"""The distinct partly built states of molecules, and the decisions taken in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from flowsuite.molecules.graphs import MAX_AGE, StateGraphs, frontier_relation, move
from flowsuite.molecules.state import GrowingMolecules
from flowsuite.molecules.vocabulary import NO_BOND, Vocabulary

PADDING = -1  # target of a node decision about an atom that is not there


@dataclass
class Steps:
    """Decisions of one kind, E in all, ordered by molecule and then as they are taken.

    Attributes:
        target: (E,) class; of atoms, `len(vocabulary)` is STOP and -1 padding.
        state: (E,) graph that each is decided in.
        molecule: (E,) molecule of the batch.
        earlier: (E,) row of the earlier atom j of an edge decision; None of atoms. R is the row of padding.
        newest: (E,) row of the atom i, where it may be padding; None where it is the newest atom of the state.
        distance: (E,) path length from j to i in that state, see `GrowingMolecules`; None of atoms.
        span: (E,) i - j; None of atoms.
    """

    target: Tensor
    state: Tensor
    molecule: Tensor
    earlier: Tensor | None = None
    newest: Tensor | None = None
    distance: Tensor | None = None
    span: Tensor | None = None


@dataclass
class Prefixes:
    """All decisions of a batch of `molecules` molecules, and the graphs they read: 1 + n + m a molecule.

    A decision against a bond leaves the graph as it is, so that all decisions share the states after each of the n
    atoms and m bonds, and the empty one (published code: a dense copy of the molecule for each of T decisions).
    """

    graphs: StateGraphs
    atoms: Steps
    edges: Steps
    molecules: int

    @property
    def shape(self) -> tuple[int]:
        return (self.molecules,)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Prefixes:
        atoms, edges = (Steps(*move(s, device, non_blocking)) for s in (self.atoms, self.edges))
        return Prefixes(self.graphs.to(device, non_blocking), atoms, edges, self.molecules)


@dataclass
class Events:
    """What happens to each molecule in order: the next atom, then its bonds; E events in all, by molecule.

    Attributes:
        molecule: (E,).
        new: (E,) place i of the newest atom.
        to: (E,) place j that it is bonded to; -1 where the atom itself is added.
        index: (E,) number of the event within its molecule.
        count: (B,) events of each molecule.
    """

    molecule: Tensor
    new: Tensor
    to: Tensor
    index: Tensor
    count: Tensor


def events_of(atoms: Tensor, bonds: Tensor) -> Events:
    """Events of molecules in generation order: `atoms` (B, N) classes with -1 for padding, `bonds` (B, N, N) orders."""
    happens = torch.cat(((atoms >= 0)[:, :, None], bonds.tril(-1) > 0), dim=2)  # column 0: the atom, 1 + j: bond to j
    molecule, new, column = happens.nonzero(as_tuple=True)
    count = happens.sum((1, 2))
    index = torch.arange(molecule.shape[0], device=atoms.device) - (count.cumsum(0) - count)[molecule]
    return Events(molecule, new, column - 1, index, count)


def grow(molecules: GrowingMolecules, atoms: Tensor, bonds: Tensor, events: Events) -> Iterator[Tensor]:
    """Lets `events` happen to a growing batch, the n-th of all molecules at once; gives their numbers each time."""
    for happening in events.index.argsort(stable=True).split(torch.bincount(events.index).tolist()):
        rows, new, to = events.molecule[happening], events.new[happening], events.to[happening]
        bonded = to >= 0
        molecules.add_atom(rows[~bonded], atoms[rows[~bonded], new[~bonded]])
        molecules.add_bond(rows[bonded], to[bonded], bonds[rows[bonded], new[bonded], to[bonded]])
        yield happening


def expand(atoms: Tensor, bonds: Tensor, vocabulary: Vocabulary, window: int, stop: bool, pad_to: int = 0) -> Prefixes:
    """All states and decisions of molecules that are in generation order.

    Args:
        atoms: (B, N) atom classes, -1 for padding.
        bonds: (B, N, N) bond orders, 0 for none; no bond may span more than `window` places.
        vocabulary: of `atoms`.
        window: W: edges are decided to the atoms max(0, i - W) .. i - 1, ascending.
        stop: one more decision a molecule, STOP instead of a further atom.
        pad_to: decide about absent atoms too, up to so many a molecule, as the published code does; 0: real ones only.
    """
    events = events_of(atoms, bonds)
    states = events.count + 1
    first = states.cumsum(0) - states
    record = _replay(atoms, bonds, vocabulary, events, first, int(states.sum()))
    graphs = _graphs(atoms, bonds, events, states, first, record)
    after_atom = torch.zeros_like(atoms)  # state right after atom i of each molecule
    added = events.to < 0
    after_atom[events.molecule[added], events.new[added]] = (first[events.molecule] + events.index + 1)[added]
    last = first + events.count
    if pad_to:
        atoms, bonds, after_atom = _pad(atoms, bonds, after_atom, last, pad_to)
    node = _node_steps(atoms, after_atom, last, len(vocabulary) if stop else None, bool(pad_to))
    edge = _edge_steps(atoms, bonds, after_atom, last, graphs, record["distance"], window, bool(pad_to))
    decided = torch.cat((node.state, edge.state))
    graphs.multiplicity = torch.bincount(decided, minlength=graphs.num_graphs)
    return Prefixes(graphs, node, edge, atoms.shape[0])


def _replay(atoms, bonds, vocabulary, events, first, total) -> dict[str, Tensor]:
    """What the conditioner's features are made of, of each of the `total` states: (total, N), or (total,)."""
    batch, n = atoms.shape
    molecules = GrowingMolecules(batch, n, vocabulary.valences, atoms.device)
    record = {
        "valence_left": torch.zeros((total, n), dtype=torch.int8, device=atoms.device),
        "ring": torch.zeros((total, n), dtype=torch.uint8, device=atoms.device),
        "distance": torch.zeros((total, n), dtype=torch.uint8, device=atoms.device),  # from the newest atom
        "frontier": torch.zeros(total, dtype=torch.long, device=atoms.device),
    }
    for happening in grow(molecules, atoms, bonds, events):
        rows, new = events.molecule[happening], events.new[happening]
        state = first[rows] + events.index[happening] + 1
        record["valence_left"][state] = molecules.valence_left[rows]
        record["ring"][state] = molecules.ring[rows]
        record["distance"][state] = molecules.distance[rows, new]
        record["frontier"][state] = molecules.frontier[rows]
    return record


def _within(counts: Tensor) -> tuple[Tensor, Tensor]:
    """`(group, number within the group)` of the elements of groups of the given sizes, one after another."""
    group = torch.repeat_interleave(counts)
    return group, torch.arange(group.shape[0], device=counts.device) - (counts.cumsum(0) - counts)[group]


def _graphs(atoms, bonds, events, states, first, record) -> StateGraphs:
    molecule = torch.repeat_interleave(states)
    is_atom = (events.to < 0).long()
    position = first[events.molecule] + events.index + 1  # state after each event
    size, n_bonds = torch.zeros_like(molecule), torch.zeros_like(molecule)
    for count, happened in ((size, is_atom), (n_bonds, 1 - is_atom)):
        count[position] = happened
        total = count.cumsum(0)
        count.copy_(total - (total - count)[first][molecule])  # counted from each molecule's empty state
    batch, place = _within(size)
    start = size.cumsum(0) - size
    bond = events.to >= 0
    bond_molecule, i, j = events.molecule[bond], events.new[bond], events.to[bond]
    per_molecule = torch.bincount(bond_molecule, minlength=atoms.shape[0])
    graph, number = _within(n_bonds)
    bond_index = (per_molecule.cumsum(0) - per_molecule)[molecule[graph]] + number
    a, b = start[graph] + i[bond_index], start[graph] + j[bond_index]
    kind = (bonds[bond_molecule, i, j].long() - 1)[bond_index]
    return StateGraphs(
        atom=atoms[molecule[batch], place],
        valence_left=record["valence_left"][batch, place].long(),
        ring=record["ring"][batch, place].long(),
        age=(size[batch] - 1 - place).clamp_max(MAX_AGE),
        frontier=frontier_relation(place, record["frontier"][batch]),
        edge_index=torch.stack((torch.cat((a, b)), torch.cat((b, a)))),
        edge_type=torch.cat((kind, kind)),
        batch=batch,
        size=size,
        start=start,
        molecule=molecule,
    )


def _pad(atoms, bonds, after_atom, last, to):
    """Up to `to` atoms, all further decisions of a molecule being taken in its last state."""
    more = to - atoms.shape[1]
    if more < 0:
        raise ValueError(f"molecules of {atoms.shape[1]} atoms do not fit the {to} of the model")
    pad = torch.nn.functional.pad
    atoms, bonds, after_atom = (
        pad(atoms, (0, more), value=-1),
        pad(bonds, (0, more, 0, more)),
        pad(after_atom, (0, more)),
    )
    return atoms, bonds, torch.where(atoms >= 0, after_atom, last[:, None])


def _node_steps(atoms, after_atom, last, stop, padded) -> Steps:
    real = atoms >= 0
    state = torch.where(real, after_atom - 1, last[:, None])
    chosen, target = real | padded, atoms
    if stop is not None:
        pad = torch.nn.functional.pad
        size = real.sum(1, keepdim=True)
        chosen, target = pad(chosen, (0, 1)).scatter(1, size, True), pad(target, (0, 1)).scatter(1, size, stop)
        state = pad(state, (0, 1)).scatter(1, size, last[:, None])
    molecule, place = chosen.nonzero(as_tuple=True)
    return Steps(target[molecule, place], state[molecule, place], molecule)


def _edge_steps(atoms, bonds, after_atom, last, graphs, distance, window, padded) -> Steps:
    n = atoms.shape[1]
    real = atoms >= 0
    place = torch.arange(n, device=atoms.device)
    span = place[:, None] - place[None, :]
    chosen = ((span > 0) & (span <= window))[None] & (real | padded)[:, :, None]
    lower = bonds.tril(-1)
    earlier_bonds = (lower > 0).cumsum(2) - (lower > 0).long()
    molecule, i, j = chosen.nonzero(as_tuple=True)
    state = after_atom[molecule, i] + earlier_bonds[molecule, i, j]
    padding_row = graphs.atom.shape[0]
    start = graphs.start[state]
    earlier, newest = (torch.where(real[molecule, at], start + at, padding_row) for at in (j, i))
    order = lower[molecule, i, j].long()
    return Steps(
        target=torch.where(order > 0, order - 1, NO_BOND),
        state=state,
        molecule=molecule,
        earlier=earlier,
        newest=newest if padded else None,
        distance=distance[state, j.clamp_max(distance.shape[1] - 1)].long(),
        span=i - j,
    )

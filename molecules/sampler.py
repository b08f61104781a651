"""Sampling in lock-step: every step adds one atom or one bond to each unfinished molecule of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flowsuite.molecules.bond_round import TRIES, BondRound
from flowsuite.molecules.graphs import StateGraphs, current_graphs
from flowsuite.molecules.noise import FreshNoise, GivenNoise
from flowsuite.molecules.packed import PackedMolecules
from flowsuite.molecules.prefix import Steps, events_of, grow
from flowsuite.molecules.rgcn import Encoded
from flowsuite.molecules.state import GrowingMolecules

if TYPE_CHECKING:
    from flowsuite.molecules.graphaf import GraphAF


@dataclass
class Generated:
    """Generated molecules, and what it took.

    Attributes:
        molecules: the graphs.
        rejected: (n,) draws that a check of valences refused; 0 where the molecule is what unchecked sampling gives.
        unattached: (n,) bool, the last atom that was drawn got no bond and was dropped.
        stopped: (n,) bool, a STOP was drawn, rather than that nothing could follow; None where nobody kept it.
    """

    molecules: PackedMolecules
    rejected: Tensor
    unattached: Tensor
    stopped: Tensor | None = None

    def __len__(self) -> int:
        return len(self.molecules)

    @classmethod
    def join(cls, parts: list[Generated]) -> Generated:
        known = all(part.stopped is not None for part in parts)
        return cls(
            PackedMolecules.join([part.molecules for part in parts]),
            torch.cat([part.rejected for part in parts]),
            torch.cat([part.unattached for part in parts]),
            torch.cat([part.stopped for part in parts]) if known else None,
        )


class Sampler:
    """Draws molecules from a `GraphAF`.

    A molecule's state changes with every atom and every bond, and only then: one evaluation of the conditioner serves
    all decisions until the next change. The bonds of the newest atom are decided ahead for the whole window; those
    behind the first that is drawn are forgotten, as their condition has changed.

    With `check`, a bond beyond the valence of either atom is refused and drawn again from the same parameters, the
    conditional law of what is allowed; after three classes or `TRIES` draws the decision is "no bond". A model with
    STOP also draws again while its newest atom has no bond at all, and draws no atom where none could be bonded.
    An atom that stays without a bond is dropped and ends the molecule, as published.

    Args:
        flow: the model.
        n: number of molecules.
        context: (n, P) properties of a conditional model.
        temperature: factor on the noise.
        noise: where noise comes from; by default fresh.
        generator: of fresh noise, on the model's device.
        max_atoms: largest size, the model's own by default.
        min_atoms: smallest size that a STOP is accepted at; (n,) one for each molecule.
        check: refuse what breaks a valence; without it nothing is refused.
        start: molecules in generation order that are gone on with, one for each; dense `(atoms, bonds)`.
        on_refusal: called with `(molecule, newest atom, earlier atom, bond class)` of the bonds that a check refuses.
    """

    def __init__(
        self,
        flow: GraphAF,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        noise: FreshNoise | GivenNoise | None = None,
        generator: torch.Generator | None = None,
        max_atoms: int | None = None,
        min_atoms: int | Tensor = 1,
        check: bool = True,
        start: tuple[Tensor, Tensor] | None = None,
        on_refusal: Callable[[Tensor, Tensor, Tensor, Tensor], None] | None = None,
    ):
        self.flow, self.temperature, self.check = flow, temperature, check
        self.max_atoms = flow.max_atoms if max_atoms is None else max_atoms
        self.on_refusal = on_refusal
        if n < 1 or not temperature >= 0:
            raise ValueError(
                f"expected at least 1 molecule and a temperature >= 0, got n={n}, temperature={temperature}"
            )
        self.device = flow.conditioner_device()
        if int(torch.as_tensor(min_atoms).max()) > 1 and not flow.stop:
            raise ValueError("min_atoms needs a model with STOP: without it a molecule ends where an atom gets no bond")
        self.min_atoms = torch.as_tensor(min_atoms, device=self.device).clamp_min(1).expand(n)
        if int(self.min_atoms.max()) > self.max_atoms:
            raise ValueError(f"min_atoms {int(self.min_atoms.max())} is above the largest size {self.max_atoms}")
        flow.check_rows(context, n)
        self.context = flow.standardize(context)
        classes = flow.atom_decision.classes, flow.edge_decision.classes
        self.noise = FreshNoise(classes, self.device, generator) if noise is None else noise
        self.molecules = GrowingMolecules(n, self.max_atoms, flow.vocabulary.valences, self.device)
        self.largest = torch.full((n,), self.max_atoms, device=self.device)
        self.next_to = torch.zeros(n, dtype=torch.long, device=self.device)  # next atom the newest may be bonded to
        self.draws = torch.zeros(n, dtype=torch.long, device=self.device)
        self.rejected = torch.zeros(n, dtype=torch.long, device=self.device)
        self.unattached = torch.zeros(n, dtype=torch.bool, device=self.device)
        self.stopped = torch.zeros(n, dtype=torch.bool, device=self.device)
        self.active = torch.ones(n, dtype=torch.bool, device=self.device)
        if start is not None:
            self._replay(*(part.to(self.device) for part in start))

    def _replay(self, atoms: Tensor, bonds: Tensor) -> None:
        if atoms.shape[0] != self.active.shape[0] or atoms.shape[1] > self.max_atoms:
            raise ValueError(
                f"start holds {atoms.shape[0]} molecules of up to {atoms.shape[1]} atoms: expected "
                f"{self.active.shape[0]} of at most {self.max_atoms}"
            )
        for _ in grow(self.molecules, atoms, bonds, events_of(atoms, bonds)):
            pass
        self.next_to.copy_((self.molecules.size - 1).clamp_min(0))

    @torch.no_grad()
    def run(self) -> Generated:
        """Draws all molecules, with batch norms as in evaluation."""
        training = self.flow.training
        self.flow.eval()
        try:
            return self._run()
        finally:
            self.flow.train(training)

    def _run(self) -> Generated:
        while True:
            rows = self.active.nonzero()[:, 0]
            if not rows.numel():
                break
            self._step(rows)
        self.noise.check(self.draws)
        molecules = PackedMolecules.from_dense(self.molecules.atoms, self.molecules.bonds, self.flow.vocabulary)
        return Generated(molecules, self.rejected.cpu(), self.unattached.cpu(), self.stopped.cpu())

    def _step(self, rows: Tensor) -> None:
        """One atom or one bond more for each of the molecules `rows`, or its end."""
        graphs = current_graphs(self.molecules, rows)
        encoded = self.flow.conditioner(graphs, self.context)
        bonded = BondRound(self, rows, graphs, encoded).run()
        idle = (~bonded).nonzero()[:, 0]
        newest = self.molecules.size[rows[idle]] - 1
        loose = (newest > 0) & (self.molecules.bonds[rows[idle], newest].sum(1, dtype=torch.long) == 0)
        self._end_unattached(rows[idle[loose]])
        self._atoms(rows, idle[~loose], graphs, encoded)

    def _end_unattached(self, rows: Tensor) -> None:
        self.molecules.drop_newest(rows)
        self.unattached[rows] = True
        self.active[rows] = False

    def _atoms(self, rows: Tensor, idle: Tensor, graphs: StateGraphs, encoded: Encoded) -> None:
        """Draws the next atom, or STOP, of the molecules `rows[idle]`, all of whose bonds are decided."""
        full = self.molecules.size[rows[idle]] >= self.largest[rows[idle]]
        self.active[rows[idle[full]]] = False
        idle = idle[~full]
        if not idle.numel():
            return
        of = rows[idle]
        steps = Steps(of, idle, of)
        params = self.flow.atom_decision.prepare(encoded, steps)
        chosen = torch.zeros_like(of)
        left = torch.arange(of.shape[0], device=self.device)
        for _ in range(TRIES):
            noise = self.noise.atoms(of[left], self.molecules.size[of[left]])
            scores = self.flow.atom_decision.decode(params[left], noise, self.temperature)
            chosen[left] = scores.argmax(1)
            early, hopeless = self._refused_atoms(of[left], chosen[left])
            self.rejected[of[left]] += hopeless
            refused = early | hopeless
            left, scores = left[refused], scores[refused]
            if not left.numel():
                break
        if self.flow.stop:  # what is refused again and again, at temperature 0 say: the likeliest atom instead
            chosen[left] = scores[:, :-1].argmax(1)
        self._add(of, chosen)

    def _stops(self, classes: Tensor) -> Tensor:
        return classes == len(self.flow.vocabulary) if self.flow.stop else torch.zeros_like(classes, dtype=torch.bool)

    def _refused_atoms(self, rows: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Where a STOP comes too early, and, when checking, where no bond could be made to an atom."""
        stop = self._stops(classes)
        early = stop & (self.molecules.size[rows] < self.min_atoms[rows])
        if not (self.check and self.flow.stop):
            return early, torch.zeros_like(early)
        cannot_bond = (self.molecules.valences[classes.clamp_max(len(self.flow.vocabulary))] < 1) & ~stop
        return early, cannot_bond & (self.molecules.size[rows] > 0)

    def _add(self, rows: Tensor, classes: Tensor) -> None:
        stop = self._stops(classes)
        self.stopped[rows[stop]] = True
        size = self.molecules.size[rows]
        start = (size - self.flow.window).clamp_min(0)
        if self.check and self.flow.stop:
            place = torch.arange(self.max_atoms, device=self.device)
            in_window = (place >= start[:, None]) & (place < size[:, None])
            free = ((self.molecules.valence_left[rows] > 0) & in_window).any(1) | (size == 0)
            self.rejected[rows[~free & ~stop]] += 1
            stop = stop | ~free
        self.active[rows[stop]] = False
        self.molecules.add_atom(rows[~stop], classes[~stop])
        self.next_to[rows[~stop]] = start[~stop]

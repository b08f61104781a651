"""One round of a sampler over bonds: each newest atom gets its next bond, or none any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flowsuite.molecules.graphs import StateGraphs
from flowsuite.molecules.prefix import Steps
from flowsuite.molecules.rgcn import Encoded
from flowsuite.molecules.vocabulary import NO_BOND

if TYPE_CHECKING:
    from flowsuite.molecules.sampler import Sampler

TRIES = 50  # draws of one decision before it is given up


class BondRound:
    """Decides bonds from the newest atom of each molecule until one is made or none is left to decide.

    The network is asked once, about every bond that may be left. All of them are drawn; only those up to the first
    bond count, as that one changes the condition of the rest. A refused bond is drawn again, with all after it.

    Args:
        sampler: whose molecules these are.
        rows: (M,) molecules.
        graphs: their present states.
        encoded: what the conditioner says of them.
    """

    def __init__(self, sampler: Sampler, rows: Tensor, graphs: StateGraphs, encoded: Encoded):
        self.sampler, self.rows = sampler, rows
        self.molecules, self.decision = sampler.molecules, sampler.flow.edge_decision
        self.new = (self.molecules.size[rows] - 1).clamp_min(0)
        self.first = sampler.next_to[rows]
        count = (self.new - self.first).clamp_min(0)
        self.pending = count > 0
        self.bonded = torch.zeros_like(self.pending)
        self.refused = torch.zeros((rows.shape[0], NO_BOND), dtype=torch.bool, device=rows.device)
        self.tries = torch.zeros_like(rows)  # refusals of the present bond
        self.again = torch.zeros_like(rows)  # refusals, and times that all of a new atom's bonds were drawn again
        self.state = torch.repeat_interleave(count)
        number = torch.arange(self.state.shape[0], device=rows.device) - (count.cumsum(0) - count)[self.state]
        self.to = self.first[self.state] + number
        if self.state.numel():
            self.params = self.decision.prepare(encoded, self._steps(graphs))

    def _steps(self, graphs: StateGraphs) -> Steps:
        of, new = self.rows[self.state], self.new[self.state]
        distance = self.molecules.distance[of, new, self.to].long()
        return Steps(
            target=self.to,
            state=self.state,
            molecule=of,
            earlier=graphs.start[self.state] + self.to,
            distance=distance,
            span=new - self.to,
        )

    def run(self) -> Tensor:
        """(M,) bool, who has one more bond."""
        while bool(self.pending.any()):
            self._draw()
        return self.bonded

    def _draw(self) -> None:
        at, kind = self._first_bonds()
        found = self.pending & (at < self.new)
        order = kind + 1
        fits = torch.ones_like(found)
        if self.sampler.check:
            valence = self.molecules.valence_left
            fits = order <= torch.minimum(valence[self.rows, self.new], valence[self.rows, at])
        decided = torch.where(found, at + 1, self.new)
        start = self.sampler.next_to[self.rows]
        self.sampler.draws[self.rows] += torch.where(self.pending, decided - start, 0)
        taken, refusal = found & fits, found & ~fits
        self.molecules.add_bond(self.rows[taken], at[taken], order[taken])
        self.bonded |= taken
        self._move(torch.where(self.pending, torch.where(refusal, at, decided), start))
        if self.sampler.on_refusal is not None and bool(refusal.any()):
            self.sampler.on_refusal(self.rows[refusal], self.new[refusal], at[refusal], kind[refusal])
        self._refuse(refusal, kind, refusal & (at == start))
        self.pending = refusal & (self.sampler.next_to[self.rows] < self.new)
        if self.sampler.check and self.sampler.flow.stop:
            self._draw_again_if_loose()

    def _first_bonds(self) -> tuple[Tensor, Tensor]:
        """`(atom, bond class)` of the first bond drawn for each molecule, (M,); the newest atom itself where none."""
        undecided = self.pending[self.state] & (self.to >= self.sampler.next_to[self.rows][self.state])
        left = undecided.nonzero()[:, 0]
        state, to = self.state[left], self.to[left]
        of = self.rows[state]
        draw = self.sampler.draws[of] + to - self.sampler.next_to[of]
        noise = self.sampler.noise.edges(of, self.new[state], to, draw)
        kind = self.decision.decode(self.params[left], noise, self.sampler.temperature).argmax(1)
        bond = kind != NO_BOND
        at = self.new.scatter_reduce(0, state[bond], to[bond], "amin")
        first = bond & (to == at[state])
        return at, torch.zeros_like(at).index_put((state[first],), kind[first])

    def _move(self, next_to: Tensor) -> None:
        self.sampler.next_to[self.rows] = next_to

    def _refuse(self, refusal: Tensor, kind: Tensor, same: Tensor) -> None:
        """Counts refused draws; after all classes, or too many draws, the decision is "no bond".

        `same`: the decision may be the one that was refused before; elsewhere the count begins anew.
        """
        self.sampler.rejected[self.rows] += refusal
        self.again += refusal
        self.tries = torch.where(same, self.tries, 0) + refusal
        self.refused &= same[:, None]
        self.refused |= refusal[:, None] & torch.nn.functional.one_hot(kind, NO_BOND).bool()
        given_up = refusal & (self.refused.all(1) | (self.tries > TRIES))
        self._move(self.sampler.next_to[self.rows] + given_up)
        self.tries.masked_fill_(given_up, 0)
        self.refused.masked_fill_(given_up[:, None], False)

    def _draw_again_if_loose(self) -> None:
        """Starts over where all is decided and the newest atom has no bond, until `TRIES` draws came to nothing."""
        bonds = self.molecules.bonds[self.rows, self.new].sum(1, dtype=torch.long)
        done = (self.sampler.next_to[self.rows] >= self.new) & (self.new > 0)
        loose = done & (bonds == 0) & (self.again < TRIES)
        self.again += loose
        self.sampler.rejected[self.rows] += loose
        self._move(torch.where(loose, self.first, self.sampler.next_to[self.rows]))
        self.pending |= loose

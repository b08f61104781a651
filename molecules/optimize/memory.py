"""The best molecules so far: what is replayed, and what is written in the end."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import torch

from flowsuite.molecules.optimize.rollout import NO_REFUSALS, Rollout
from flowsuite.molecules.order import draw_orders
from flowsuite.molecules.packed import PackedMolecules, permute


@dataclass
class Kept:
    """A molecule that may be drawn again: the largest `reward` it earned, its graph, whether a STOP ended it."""

    reward: float
    graph: PackedMolecules
    stopped: bool


class Memory:
    """The score of every distinct molecule, and the graphs of the `size` with the largest rewards.

    A molecule that was met without a reward has its score here; it joins the best when it earns one.

    Args:
        size: graphs that are kept.
    """

    def __init__(self, size: int):
        if size < 0:
            raise ValueError(f"the replay memory's size must be 0 or more, got {size}")
        self.size = size
        self.scores: dict[str, float] = {}
        self.best: dict[str, Kept] = {}

    def add(self, rollout: Rollout, smiles: list[str | None], scores: np.ndarray, rewards: np.ndarray) -> int:
        """Takes in molecules, NaN where there is no score or reward; the number of new ones."""
        before = len(self.scores)
        for i, text in enumerate(smiles):
            if text is None or not np.isfinite(scores[i]):
                continue
            self.scores.setdefault(text, float(scores[i]))
            if text not in self.best and self._worth(float(rewards[i])):
                self.best[text] = Kept(float(rewards[i]), rollout.molecules[i], bool(rollout.stopped[i]))
        if len(self.best) > self.size:
            self.best = dict(heapq.nlargest(self.size, self.best.items(), key=lambda item: item[1].reward))
        return len(self.scores) - before

    def _worth(self, reward: float) -> bool:
        if not self.size or not np.isfinite(reward):
            return False
        return len(self.best) < self.size or reward > min(kept.reward for kept in self.best.values())

    def replay(self, n: int, window: int, generator: torch.Generator) -> tuple[Rollout | None, list[str], np.ndarray]:
        """`n` of the best, drawn without repetition, in new breadth-first orders: `(molecules, SMILES, rewards)`."""
        chosen = torch.randperm(len(self.best), generator=generator)[:n].tolist()
        items = list(self.best.items())
        picked = [items[i] for i in chosen]
        if not picked:
            return None, [], np.zeros(0)
        packed = PackedMolecules.join([kept.graph for _, kept in picked])
        atoms, bonds = packed.dense()
        order, draws = draw_orders(bonds > 0, packed.sizes, window, generator=generator)
        fits = (draws <= 50).nonzero()[:, 0]  # the order it was drawn in fits, but a rare one may be all that does
        atoms, bonds = permute(atoms[fits], bonds[fits], order[fits])
        picked = [picked[i] for i in fits.tolist()]
        if not picked:
            return None, [], np.zeros(0)
        molecules = PackedMolecules.from_dense(atoms, bonds, packed.vocabulary)
        stopped = torch.tensor([kept.stopped for _, kept in picked])
        again = Rollout(molecules, torch.zeros_like(molecules.sizes), stopped, NO_REFUSALS)
        return again, [text for text, _ in picked], np.array([kept.reward for _, kept in picked])

    def top(self, n: int, sign: float = 1.0) -> list[tuple[str, float]]:
        """The `n` best `(SMILES, score)` of all, best first; equal ones by SMILES."""
        return heapq.nsmallest(n, self.scores.items(), key=lambda item: (-sign * item[1], item[0]))

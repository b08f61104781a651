"""The best molecules so far: what is replayed, and what is written in the end."""

from __future__ import annotations

import heapq

import numpy as np
import torch

from flowsuite.molecules.order import draw_orders
from flowsuite.molecules.packed import PackedMolecules, permute


class Memory:
    """Every distinct molecule with its score and reward, and the graphs of the `size` with the largest rewards.

    Args:
        size: graphs that are kept.
    """

    def __init__(self, size: int):
        if size < 0:
            raise ValueError(f"the replay memory's size must be 0 or more, got {size}")
        self.size = size
        self.scores: dict[str, float] = {}
        self.best: dict[str, tuple[float, PackedMolecules]] = {}

    def add(self, molecules: PackedMolecules, smiles: list[str | None], scores: np.ndarray, rewards: np.ndarray) -> int:
        """Takes in molecules; the number of new ones."""
        before = len(self.scores)
        for i, text in enumerate(smiles):
            if text is None or text in self.scores or not np.isfinite(scores[i]):
                continue
            self.scores[text] = float(scores[i])
            if self.size and np.isfinite(rewards[i]) and self._worth(float(rewards[i])):
                self.best[text] = (float(rewards[i]), molecules[i])
        if len(self.best) > self.size:
            self.best = dict(heapq.nlargest(self.size, self.best.items(), key=lambda item: item[1][0]))
        return len(self.scores) - before

    def _worth(self, reward: float) -> bool:
        return len(self.best) < self.size or reward > min(value for value, _ in self.best.values())

    def replay(
        self, n: int, window: int, generator: torch.Generator
    ) -> tuple[PackedMolecules | None, list[str], np.ndarray]:
        """`n` of the best, drawn without repetition, in new breadth-first orders: `(graphs, SMILES, rewards)`."""
        chosen = torch.randperm(len(self.best), generator=generator)[:n].tolist()
        items = list(self.best.items())
        picked = [items[i] for i in chosen]
        if not picked:
            return None, [], np.zeros(0)
        packed = PackedMolecules.join([graph for _, (_, graph) in picked])
        atoms, bonds = packed.dense()
        order, draws = draw_orders(bonds > 0, packed.sizes, window, generator=generator)
        fits = (draws <= 50).nonzero()[:, 0]  # the order it was drawn in fits, but a rare one may be all that does
        atoms, bonds = permute(atoms[fits], bonds[fits], order[fits])
        kept = [picked[i] for i in fits.tolist()]
        if not kept:
            return None, [], np.zeros(0)
        rewards = np.array([reward for _, (reward, _) in kept])
        return PackedMolecules.from_dense(atoms, bonds, packed.vocabulary), [text for text, _ in kept], rewards

    def top(self, n: int, sign: float = 1.0) -> list[tuple[str, float]]:
        """The `n` best `(SMILES, score)` of all, best first; equal ones by SMILES."""
        return heapq.nsmallest(n, self.scores.items(), key=lambda item: (-sign * item[1], item[0]))

"""Similarity-constrained improvement: molecules with a better score that are still like the one they came from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor

from flowsuite.molecules.chemistry import EncodingError, Graph, kekulised, read_mol, smiles_from_packed
from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.optimize.choices import DELTAS, PROTOCOLS
from flowsuite.molecules.optimize.codec import Best, similarity
from flowsuite.molecules.optimize.regrow import grown, part, with_carbon
from flowsuite.molecules.optimize.rollout import draw
from flowsuite.molecules.optimize.scorer import Scorer
from flowsuite.molecules.optimize.starts import Cuts, StartSet, cut
from flowsuite.molecules.smiles import canonical_of, parse
from flowsuite.molecules.vocabulary import Vocabulary


@dataclass(frozen=True)
class Growth:
    """One drawn continuation of a start molecule, as worker processes are sent it.

    Attributes:
        start: SMILES of the whole molecule.
        original: whether charges and stereochemistry of the start are kept.
        kept: places in the start molecule of the atoms gone on from.
        graph: the continuation, these atoms first.
        vocabulary: of the graph.
        pick: where the one carbon goes that is added where nothing was drawn, in [0, 1).
        at_least: similarity below which nothing is looked at.
    """

    start: str
    original: bool
    kept: tuple[int, ...]
    graph: Graph
    vocabulary: Vocabulary
    pick: float
    at_least: float


start_mol = functools.lru_cache(4096)(read_mol)


@functools.lru_cache(4096)
def kekulised_start(smiles: str) -> Chem.Mol:
    return kekulised(start_mol(smiles))


def candidates(growth: Growth) -> list[tuple[str, float]]:
    """`(canonical isomeric SMILES, similarity)` of every stage of a continuation, one more atom each.

    Those not more similar than `at_least` and those that RDKit refuses are left out.
    """
    try:
        start, original = start_mol(growth.start), kekulised_start(growth.start) if growth.original else None
    except EncodingError:
        return []
    first, size = len(growth.kept), len(growth.graph[0])
    if size > first:
        stages = (
            grown(original, growth.kept, part(growth.graph, n), growth.vocabulary) for n in range(first + 1, size + 1)
        )
    else:
        same = grown(original, growth.kept, growth.graph, growth.vocabulary)
        stages = (None if same is None else with_carbon(same, growth.pick),)
    found = {}
    for mol in stages:
        text = None if mol is None else canonical_of(mol, isomeric=True)
        again = None if text is None or text in found else parse(text)
        if again is None:
            continue
        alike = similarity(start, again)
        if alike > growth.at_least:
            found[text] = alike
    return list(found.items())


class ConstrainedSearch:
    """Improves molecules by drawing continuations of their own beginnings, all of them at once.

    Every round cuts each unfinished molecule along a new random breadth-first order, see `cut`, and goes on from there
    up to the largest size; every stage is scored, and at least one atom is added. A molecule is finished after
    `patience` rounds once it has been improved within the strictest threshold.

    Protocols: "keep", charges and stereochemistry of kept atoms stay, so that a gain is one of the molecule that was
    given; "published", as public GraphAF: charges and stereochemistry are forgotten, but in half of the draws that
    begin with the whole molecule. There forgetting alone may count as a gain: compare `codec_baseline`.

    Args:
        flow: the model.
        starts: what is improved, encoded as the protocol asks.
        usual: (M,) scores of the start molecules.
        scorer: of candidates.
        deltas: similarity thresholds; Tanimoto, Morgan radius 2, 2,048 bits, chirality.
        protocol: "keep" or "published".
        remove: the most atoms that are cut off.
        temperature: of the noise.
        max_atoms: the largest size, the model's own if None.
        batch_size: molecules drawn at a time.
        patience: see above.
        seed: of all randomness.
        context: (P,) properties that a conditional model is asked for.
    """

    def __init__(
        self,
        flow: GraphAF,
        starts: StartSet,
        usual: np.ndarray,
        scorer: Scorer,
        deltas: Sequence[float] = DELTAS,
        protocol: str = "keep",
        remove: int = 4,
        temperature: float = 1.0,
        max_atoms: int | None = None,
        batch_size: int = 256,
        patience: int = 25,
        seed: int = 0,
        context: Tensor | None = None,
    ):
        if protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol {protocol!r}: expected one of {', '.join(PROTOCOLS)}")
        if not deltas or not all(0 <= delta < 1 for delta in deltas):
            raise ValueError(f"expected similarity thresholds in [0, 1), got {list(deltas)}")
        if not len(starts.graphs):
            raise ValueError(starts.describe())
        self.flow, self.starts, self.usual, self.scorer = flow.eval(), starts, usual, scorer
        self.deltas, self.protocol, self.remove = tuple(sorted(deltas)), protocol, remove
        self.temperature, self.max_atoms = temperature, max_atoms or flow.max_atoms
        self.batch_size, self.patience, self.context = batch_size, patience, context
        self.best = [Best(self.deltas) for _ in starts.smiles]
        self.active = torch.from_numpy(np.isfinite(usual))[starts.number]
        self.rounds = 0
        self.generator = torch.Generator().manual_seed(seed)
        self.noise = torch.Generator(flow.conditioner_device()).manual_seed(seed + 1)

    def run(self, rounds: int, done: Callable[[int], None] = lambda n: None) -> list[Best]:
        """Up to so many rounds; `done` is told after each how many molecules are unfinished."""
        for _ in range(rounds):
            left = self.active.nonzero()[:, 0]
            if not left.numel():
                break
            for chosen in left.split(self.batch_size):
                self._draw(chosen)
            self.rounds += 1
            if self.rounds >= self.patience:
                improved = torch.tensor([best.smiles[-1] is not None for best in self.best])
                self.active &= ~improved[self.starts.number]
            done(int(self.active.sum()))
        return self.best

    def _draw(self, chosen: Tensor) -> None:
        cuts = cut(self.starts.graphs, chosen, self.flow.window, self.remove, self.generator)
        n = len(chosen)
        context = None if self.context is None else self.context.to(self.noise.device).expand(n, -1)
        rollout = draw(self.flow, n, self.max_atoms, context, self.temperature, self.noise, cuts)
        growths = self._growths(cuts, rollout.molecules)
        found = self.scorer.pool.map(candidates, growths)
        scores = self.scorer([text for each in found for text, _ in each])
        at, sign = 0, self.scorer.target.sign
        for place, each in zip(chosen.tolist(), found, strict=True):
            number = int(self.starts.number[place])
            for text, alike in each:
                if np.isfinite(scores[at]):
                    gain = sign * float(scores[at] - self.usual[number])
                    self.best[number].add(text, float(scores[at]), gain, alike)
                at += 1

    def _growths(self, cuts: Cuts, molecules) -> list[Growth]:
        n, sizes = len(molecules), cuts.sizes
        picks = torch.rand(n, generator=self.generator).tolist()
        keep = torch.ones(n, dtype=torch.bool)
        if self.protocol == "published":
            whole = sizes == self.starts.graphs.sizes[cuts.number]
            keep = whole & (torch.rand(n, generator=self.generator) < 0.5)
        return [
            Growth(
                self.starts.smiles[int(self.starts.number[cuts.number[i]])],
                bool(keep[i]),
                tuple(cuts.order[i, : int(sizes[i])].tolist()),
                molecules.graph(i),
                self.flow.vocabulary,
                picks[i],
                self.deltas[0],
            )
            for i in range(n)
        ]


def decoded_starts(starts: StartSet, scorer: Scorer) -> np.ndarray:
    """(E,) scores of the encoded graphs themselves: what gains are counted from in fine-tuning."""
    return scorer(smiles_from_packed(starts.graphs))

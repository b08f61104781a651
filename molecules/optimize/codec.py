"""The baseline of constrained optimisation that has no model: what encoding and decoding alone "improve"."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from flowsuite.molecules.chemistry import EncodingError, graph_from_mol, mol_from_graph, read_mol
from flowsuite.molecules.fingerprints import tanimoto
from flowsuite.molecules.optimize.choices import DELTAS
from flowsuite.molecules.optimize.scorer import Scorer
from flowsuite.molecules.smiles import canonical_of, parse
from flowsuite.molecules.vocabulary import Vocabulary


@dataclass
class Best:
    """The best improvement of one molecule found so far within each similarity threshold: SMILES (None where there is
    no improvement), score, gain and similarity, D each."""

    deltas: tuple[float, ...]
    smiles: list[str | None] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)
    similarity: list[float] = field(default_factory=list)

    def __post_init__(self):
        n = len(self.deltas)
        self.smiles = [None] * n
        self.score, self.gain, self.similarity = ([math.nan] * n for _ in range(3))

    def add(self, smiles: str, score: float, gain: float, similarity: float) -> None:
        """Takes a molecule in wherever it is better, improves on the start (`gain > 0`), and is similar enough."""
        if not gain > 0:
            return
        for d, delta in enumerate(self.deltas):
            if similarity > delta and not gain <= self.gain[d]:
                self.smiles[d], self.score[d], self.gain[d], self.similarity[d] = smiles, score, gain, similarity


@dataclass
class Row:
    """Figures over all start molecules within one similarity threshold; means are over the successes."""

    delta: float
    gain: float
    std: float
    similarity: float
    success: float


def rows_of(best: Sequence[Best]) -> list[Row]:
    """One row for each threshold."""
    rows = []
    for d, delta in enumerate(best[0].deltas if best else ()):
        gains = np.array([each.gain[d] for each in best])
        alike = np.array([each.similarity[d] for each in best])
        found = np.isfinite(gains)
        if found.any():
            row = Row(delta, float(gains[found].mean()), float(gains[found].std()), float(alike[found].mean()), 0.0)
        else:
            row = Row(delta, math.nan, math.nan, math.nan, 0.0)
        row.success = float(found.mean())
        rows.append(row)
    return rows


similarity = functools.partial(tanimoto, bits=2048, radius=2, chirality=True)
"""Of two molecules, as the benchmark takes it."""


def through_codec(smiles: str, vocabulary: Vocabulary, drop_charges: bool = True) -> str | None:
    """Canonical SMILES of a molecule that was encoded and decoded; None where either refuses."""
    try:
        graph = graph_from_mol(read_mol(smiles), vocabulary, drop_charges=drop_charges)
    except EncodingError:
        return None
    mol = mol_from_graph(*graph, vocabulary)
    return None if mol is None else canonical_of(mol)


def codec_baseline(
    smiles: Sequence[str],
    starts: np.ndarray,
    scorer: Scorer,
    vocabulary: Vocabulary | None = None,
    deltas: Sequence[float] = DELTAS,
) -> list[Best]:
    """The improvements of each molecule by the codec of public GraphAF, which forgets charges and stereochemistry.

    Args:
        smiles: molecules.
        starts: (n,) their scores.
        scorer: of the decoded ones.
        vocabulary: neutral atom classes, ZINC250k's if None.
        deltas: similarity thresholds.
    """
    vocabulary = vocabulary or Vocabulary("zinc250k")
    decoded = [through_codec(text, vocabulary) for text in smiles]
    scores = scorer(decoded)
    found = [Best(tuple(deltas)) for _ in smiles]
    sign = scorer.target.sign
    for i, text in enumerate(decoded):
        if text is not None and np.isfinite(scores[i]) and np.isfinite(starts[i]):
            alike = similarity(parse(smiles[i]), parse(text))
            found[i].add(text, float(scores[i]), sign * float(scores[i] - starts[i]), alike)
    return found

"""Diversity filters: what has been found often enough earns nothing any more (arXiv 2002.04026, REINVENT)."""

from __future__ import annotations

from collections import Counter

import numpy as np
from rdkit import DataStructs
from rdkit.Chem.Scaffolds import MurckoScaffold

from flowsuite.molecules.fingerprints import morgan
from flowsuite.molecules.optimize.choices import DIVERSITIES
from flowsuite.molecules.smiles import canonical_of, parse, quiet


def scaffold(smiles: str) -> str:
    """Canonical SMILES of the Bemis-Murcko scaffold; of a molecule without rings, its own."""
    mol = parse(smiles)
    with quiet():
        core = MurckoScaffold.GetScaffoldForMol(mol)
        return canonical_of(core) if core.GetNumAtoms() else smiles


class DiversityFilter:
    """Counts what has been found in each bucket and says which molecules are one too many.

    Args:
        kind: buckets are Bemis-Murcko "scaffold"s, or molecules with a "tanimoto" similarity of at least `threshold`
            to the bucket's first one; "none" lets everything pass.
        bucket: distinct molecules that fit in one.
        threshold: similarity, of "tanimoto".
        repeats: times that one molecule may be found.
    """

    def __init__(self, kind: str = "scaffold", bucket: int = 25, threshold: float = 0.6, repeats: int = 3):
        if kind not in DIVERSITIES:
            raise ValueError(f"unknown diversity filter {kind!r}: expected one of {', '.join(DIVERSITIES)}")
        if bucket < 1 or repeats < 1:
            raise ValueError(f"a bucket holds at least 1 molecule at least once, got {bucket}, {repeats}")
        self.kind, self.bucket, self.threshold, self.repeats = kind, bucket, threshold, repeats
        self.counts: Counter[str] = Counter()
        self.seen: dict[str, str] = {}  # bucket of every molecule
        self.found: Counter[str] = Counter()  # times each molecule was found
        self._first: list[tuple[str, DataStructs.ExplicitBitVect]] = []

    def __call__(self, smiles: list[str | None], good: np.ndarray) -> np.ndarray:
        """(n,) bool: molecules in full buckets. Only `good` ones (n,) fill buckets."""
        if self.kind == "none":
            return np.zeros(len(smiles), dtype=bool)
        full = [text is not None and self._full(text, bool(g)) for text, g in zip(smiles, good, strict=True)]
        return np.array(full, dtype=bool)

    def _full(self, text: str, good: bool) -> bool:
        if text in self.seen:
            self.found[text] += 1
            return self.found[text] > self.repeats or self.counts[self.seen[text]] > self.bucket
        if not good:
            return False
        place = scaffold(text) if self.kind == "scaffold" else self._nearest(text)
        self.seen[text] = place
        self.found[text] = 1
        self.counts[place] += 1
        return self.counts[place] > self.bucket

    def _nearest(self, text: str) -> str:
        """The first of the molecules that began a bucket to which this one is similar; itself if there is none."""
        bits = morgan(parse(text))
        similar = DataStructs.BulkTanimotoSimilarity(bits, [first for _, first in self._first])
        for (name, _), value in zip(self._first, similar, strict=True):
            if value >= self.threshold:
                return name
        self._first.append((text, bits))
        return text

"""Scores of many molecules: each molecule once, in worker processes that stay, failures counted and named."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flowsuite.molecules.optimize.targets import Target
from flowsuite.molecules.processes import Pool

CHUNK = 16  # molecules sent to a worker at a time
NAMED = 5  # failures that are told in full
ALL_FAILED = 32  # molecules after which a target that never gave a score is an error


class Scorer:
    """Scores of SMILES; each molecule is asked about once.

    Args:
        target: what is scored.
        pool: where.

    Attributes:
        scores: of every canonical SMILES asked for, NaN where there is none.
        failures: `{SMILES: what went wrong}`.
    """

    def __init__(self, target: Target, pool: Pool | None = None):
        self.target, self.pool = target, pool or Pool()
        self.scores: dict[str, float] = {}
        self.failures: dict[str, str] = {}

    def __call__(self, smiles: Sequence[str | None]) -> np.ndarray:
        """Scores (n,) in float64, NaN of None and where there is none.

        Raises:
            ValueError: not one of all molecules so far, and they were many, could be scored.
        """
        new = list(dict.fromkeys(text for text in smiles if text is not None and text not in self.scores))
        size = len(new) if self.target.takes == "batch" and not self.pool.workers else CHUNK
        chunks = [new[start : start + size] for start in range(0, len(new), max(size, 1))]
        found = (pair for part in self.pool.map(self.target.score, chunks) for pair in part)
        for text, (score, error) in zip(new, found, strict=True):
            self.scores[text] = score
            if error:
                self.failures[text] = error
        if len(self.scores) >= ALL_FAILED:
            self.check()
        return np.array([math.nan if text is None else self.scores[text] for text in smiles], dtype=np.float64)

    def check(self) -> None:
        """That not all molecules asked for have failed, if there were any.

        Raises:
            ValueError: they have.
        """
        if self.failures and len(self.failures) == len(self.scores):
            raise ValueError(f"target {self.target.spec!r} failed on all of {self.summary()}")

    def summary(self) -> str:
        """One line: how many molecules were scored, how many failed, and the first few of these."""
        if not self.failures:
            return f"{len(self.scores)} molecules, none failed"
        first = "; ".join(f"{text}: {error}" for text, error in list(self.failures.items())[:NAMED])
        return f"{len(self.scores)} molecules, {len(self.failures)} failed, first: {first}"

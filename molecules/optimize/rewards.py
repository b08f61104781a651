"""Rewards of molecules: their shaped scores, and their structure where that counts."""

from __future__ import annotations

import numpy as np
from rdkit import Chem

from flowsuite.molecules.filters import zinc_filter
from flowsuite.molecules.optimize.scorer import Scorer
from flowsuite.molecules.optimize.shaping import Shaping
from flowsuite.molecules.optimize.targets import Target
from flowsuite.molecules.processes import Pool
from flowsuite.molecules.strain import strain_filter


def structure_term(mol: Chem.Mol) -> float:
    """`2 - [strained] - [alert of the ZINC catalog]`."""
    return float(strain_filter(mol)) + float(zinc_filter(mol))


class Reward:
    """Rewards of molecules.

    Args:
        shaping: of the scores.
        sign: -1 where lower scores are better.
        pool: where structures are checked.
    """

    def __init__(self, shaping: Shaping, sign: float = 1.0, pool: Pool | None = None):
        self.shaping, self.sign = shaping, sign
        target = Target("flowsuite.molecules.optimize.rewards:structure_term")
        self.structure = Scorer(target, pool) if shaping.structure else None

    def __call__(self, smiles: list[str | None], scores: np.ndarray) -> np.ndarray:
        """(n,) rewards; NaN where the target has no score, the smallest of the others for what is no molecule."""
        reward = self.shaping.term(self.sign * scores)
        if self.structure is not None:
            reward = reward + self.structure(smiles)
        invalid = np.array([text is None for text in smiles])
        worst = np.nanmin(reward) if np.isfinite(reward).any() else np.nan
        return np.where(invalid, worst, reward)

"""From scores to rewards: as they are, or shaped as published."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rdkit import Chem

from flowsuite.molecules.filters import zinc_filter
from flowsuite.molecules.optimize.scorer import Pool, Scorer
from flowsuite.molecules.optimize.targets import Target
from flowsuite.molecules.strain import strain_filter

SHAPES = ("raw", "linear", "exp")
LARGEST_POWER = 20.0  # of e, so that one molecule cannot drown all others


@dataclass(frozen=True)
class Shaping:
    """The reward of a molecule as a function of its score s (larger is better).

    - "raw": `s`; the normalised advantage makes its scale and offset irrelevant;
    - "linear": `coefficient s`;
    - "exp": `e^(coefficient s) - offset`.

    With `structure`, `2 - [strained] - [alert of the ZINC catalog]` is added. For what is published see
    `published_shaping`.

    Args:
        shape: one of `SHAPES`.
        coefficient: factor on the score.
        offset: taken from "exp".
        structure: ask for unstrained molecules without alerts.
    """

    shape: str = "raw"
    coefficient: float = 1 / 3
    offset: float = 4.0
    structure: bool = False

    def __post_init__(self):
        if self.shape not in SHAPES:
            raise ValueError(f"unknown reward shape {self.shape!r}: expected one of {', '.join(SHAPES)}")

    def term(self, scores: np.ndarray) -> np.ndarray:
        """The property term of scores, NaN kept."""
        if self.shape == "raw":
            return scores
        scaled = self.coefficient * scores
        return scaled if self.shape == "linear" else np.exp(np.minimum(scaled, LARGEST_POWER)) - self.offset


def published_shaping(target: str, gains: bool = False) -> Shaping:
    """GraphAF's reward (arXiv 2001.09382, public code): structure, and of penalised logP `e^(s / 3) - 4`, of QED s.

    A gain over a start molecule counts as it is; so does every other target, of which nothing is published.

    Args:
        target: as of `Target`.
        gains: scores are gains, in constrained optimisation.
    """
    if ":" not in target and "plogp" in target and not gains:
        return Shaping("exp", 1 / 3, 4.0, structure=True)
    return Shaping("linear", 1.0, structure=True)


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

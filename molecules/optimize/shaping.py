"""Scores shaped to rewards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowsuite.molecules.optimize.choices import SHAPES

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

"""Flows over one decision: which atom comes next, or which bond."""

from flowsuite.molecules.decisions.affine import AffineDecision
from flowsuite.molecules.decisions.categorical import CategoricalDecision
from flowsuite.molecules.decisions.decision import Decision
from flowsuite.molecules.decisions.modulo import ModuloDecision
from flowsuite.molecules.decisions.spline import SplineDecision

DECISIONS = {
    "affine": AffineDecision,
    "spline": SplineDecision,
    "modulo": ModuloDecision,
    "categorical": CategoricalDecision,
}

__all__ = ["DECISIONS", "AffineDecision", "CategoricalDecision", "Decision", "ModuloDecision", "SplineDecision"]

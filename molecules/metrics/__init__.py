"""How well generated molecules compare with real ones: validity, MOSES, GuacaMol, structure, ChemNet distance."""

from flowsuite.molecules.metrics.report import Report, evaluate

__all__ = ["Report", "evaluate"]

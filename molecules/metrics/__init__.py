"""How well generated molecules compare with real ones: `flowsuite.molecules.metrics.report.evaluate` has all of it."""

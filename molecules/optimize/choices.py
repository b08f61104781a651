"""What options of an optimisation choose from, by name. Nothing is imported here: help must answer at once."""

TAKES = ("mol", "smiles", "batch")
"""What a user's function is given, see `Target`."""

SHAPES = ("raw", "linear", "exp")
"""Of a reward, see `Shaping`."""

BASELINES = ("moving", "size", "index")
"""Of rewards, see `MovingBaseline`."""

DIVERSITIES = ("scaffold", "tanimoto", "none")
"""How molecules of one kind too many are told, see `DiversityFilter`."""

PROTOCOLS = ("keep", "published")
"""What becomes of charges and stereochemistry, see `ConstrainedSearch`."""

DELTAS = (0.0, 0.2, 0.4, 0.6)
"""Similarity thresholds of constrained improvement."""

"""What `flowsuite sample` lets one choose for molecules, besides what it has for all models."""

from __future__ import annotations

import argparse
import math


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def wanted(text: str) -> dict[str, float]:
    """`logp=2.5,qed=0.9` as a dictionary."""
    found = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals or not math.isfinite(found.get(name.strip(), math.nan)):
            raise argparse.ArgumentTypeError(f"expected NAME=NUMBER[,NAME=NUMBER...], got {text}")
    return found


# argument of `generate` of a `MoleculeModule`, or of its `finish_samples` -> (type, help); bool for a switch
OPTIONS = {
    "max_atoms": (count, "molecules: largest size (that of the training data)"),
    "min_atoms": (count, "molecules: no STOP below this size (1); where no valence is left, a molecule may end sooner"),
    "unchecked": (bool, "molecules: no valence check at all while sampling"),
    "start": (str, "molecules: a SMILES that every sample is built upon"),
    "property": (wanted, "molecules: wanted properties of a conditional model, NAME=NUMBER[,NAME=NUMBER...]"),
    "sdf": (bool, "molecules: write an SD file too"),
    "svg": (bool, "molecules: draw SVG rather than PNG"),
}

"""Validity, uniqueness and novelty. Molecules are told apart by their canonical SMILES, on both sides."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

SMALL = 5  # atoms: below, a fragment rather than a molecule


def share(part: int, whole: int) -> float:
    """`part / whole`, NaN of nothing."""
    return part / whole if whole else math.nan


def validity(keys: Sequence[str | None]) -> float:
    """Share of the generated that RDKit parses and sanitises; `keys` are canonical SMILES, None for the invalid."""
    return share(sum(key is not None for key in keys), len(keys))


def uniqueness(keys: Sequence[str | None], first: int | None = None) -> float:
    """Distinct share of the valid, or of the `first` so many of them; NaN where there are fewer."""
    valid = [key for key in keys if key is not None]
    if first is not None and len(valid) < first:
        return math.nan
    valid = valid[:first]
    return share(len(set(valid)), len(valid))


def novelty(keys: Sequence[str | None], train: Collection[str]) -> float:
    """Share of the distinct valid that are not in the training set, which is given in canonical SMILES too."""
    distinct = set(keys) - {None}
    return share(len(distinct.difference(train)), len(distinct))


def valid_unique_novel(keys: Sequence[str | None], train: Collection[str]) -> float:
    """Distinct molecules that are not in the training set, as a share of everything generated (N.U.V.)."""
    return share(len((set(keys) - {None}).difference(train)), len(keys))


def under(sizes: Sequence[int], atoms: int = SMALL) -> float:
    """Share of molecules with fewer heavy atoms than that."""
    return share(sum(size < atoms for size in sizes), len(sizes))

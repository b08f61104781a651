"""Sizes and types of atoms and bonds, counted, and how far two such distributions are apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from flowsuite.molecules.metrics.records import Record
from flowsuite.molecules.vocabulary import atom_name


def total_variation(a: Mapping[Hashable, float], b: Mapping[Hashable, float]) -> float:
    """`sum |p - q| / 2` of two tables of counts, each divided by its sum: 0 the same, 1 disjoint; NaN of nothing."""
    whole_a, whole_b = sum(a.values()), sum(b.values())
    if not whole_a or not whole_b:
        return math.nan
    return 0.5 * sum(abs(a.get(key, 0) / whole_a - b.get(key, 0) / whole_b) for key in a.keys() | b.keys())


def size_counts(records: Sequence[Record]) -> Counter:
    """Molecules by number of heavy atoms."""
    return Counter(each.size for each in records)


def atom_counts(records: Sequence[Record]) -> Counter:
    """Heavy atoms by type: the element, with its charge where it has one: C, N, N+, O-, ..."""
    counts = Counter()
    for each in records:
        counts.update(each.atoms)
    return Counter({atom_name(*atom): count for atom, count in counts.items()})


def bond_counts(records: Sequence[Record]) -> Counter:
    """Kekulised bonds by order."""
    counts = Counter()
    for each in records:
        counts.update(each.bonds)
    return counts


COUNTS = {"size": size_counts, "atom type": atom_counts, "bond type": bond_counts}


def histograms(records: Sequence[Record]) -> dict[str, Counter]:
    """All of these tables by name, in order of their keys."""
    return {name: Counter(dict(sorted(count(records).items()))) for name, count in COUNTS.items()}


def distances(generated: dict[str, Counter], reference: dict[str, Counter]) -> dict[str, float]:
    """Total variation between the tables of two sets."""
    return {f"{name} TV": total_variation(generated[name], reference[name]) for name in COUNTS}

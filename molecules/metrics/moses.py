"""The MOSES benchmark's metrics of distributions (Polykovskiy et al., arXiv:1811.12823)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from flowsuite.molecules.metrics.records import Record, scalar, stacked
from flowsuite.molecules.properties import mean_or_nan
from flowsuite.molecules.similarity import internal_diversity, nearest

PROPERTIES = {"logP": "logp", "SA": "sa", "QED": "qed", "weight": "mw"}


def nearest_similarity(generated: Sequence[Record], reference: Sequence[Record], device: str = "cpu") -> float:
    """SNN: the mean over the generated of the similarity to the nearest reference molecule."""
    if not generated or not reference:
        return math.nan
    return float(nearest(stacked(generated, "bits"), stacked(reference, "bits"), device).mean())


def cosine(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Cosine of two tables of counts seen as vectors; NaN where one is empty."""
    if not a or not b:
        return math.nan
    norms = math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    return sum(count * b.get(key, 0) for key, count in a.items()) / norms


def fragment_counts(records: Sequence[Record]) -> Counter:
    """BRICS fragments (Degen et al. 2008, doi:10.1002/cmdc.200800178)."""
    return Counter(fragment for each in records for fragment in each.fragments)


def scaffold_counts(records: Sequence[Record]) -> Counter:
    """Bemis-Murcko scaffolds of two rings or more."""
    return Counter(each.scaffold for each in records if each.scaffold is not None)


def wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """1-D Wasserstein distance of two samples, in the unit of the property; NaN where one is empty."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(a, b)) if len(a) and len(b) else math.nan


def own_metrics(generated: Sequence[Record], device: str = "cpu") -> dict[str, float]:
    """What needs no reference: IntDiv, IntDiv2, Filters (the share that passes, where it was asked for)."""
    first, second = internal_diversity(stacked(generated, "bits"), device) if generated else (math.nan, math.nan)
    passes = [each.passes for each in generated if each.passes is not None]
    return {"IntDiv": first, "IntDiv2": second, "Filters": mean_or_nan(passes)}


def reference_metrics(
    generated: Sequence[Record], reference: Sequence[Record], device: str = "cpu"
) -> dict[str, float]:
    """SNN, Frag and Scaf (larger is nearer), and the distances of logP, SA, QED and weight (smaller is nearer)."""
    return {
        **scaffold_test_metrics(generated, reference, device),
        **{
            f"{name} W1": wasserstein(scalar(generated, ours), scalar(reference, ours))
            for name, ours in PROPERTIES.items()
        },
    }


def scaffold_test_metrics(
    generated: Sequence[Record], reference: Sequence[Record], device: str = "cpu"
) -> dict[str, float]:
    """SNN, Frag and Scaf alone: what MOSES reports against its scaffold test set, besides FCD."""
    return {
        "SNN": nearest_similarity(generated, reference, device),
        "Frag": cosine(fragment_counts(generated), fragment_counts(reference)),
        "Scaf": cosine(scaffold_counts(generated), scaffold_counts(reference)),
    }

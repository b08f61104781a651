"""GuacaMol's distribution benchmark: KL divergence of ten properties (Brown et al., arXiv:1811.09621)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flowsuite.molecules.metrics.records import Record, scalar, stacked
from flowsuite.molecules.similarity import nearest_other

CONTINUOUS = {"BertzCT": "bertz", "logP": "logp", "MolWt": "mw", "TPSA": "tpsa"}
DISCRETE = {
    "H-acceptors": "hba",
    "H-donors": "hbd",
    "rotatable bonds": "rotatable_bonds",
    "aliphatic rings": "aliphatic_rings",
    "aromatic rings": "aromatic_rings",
}
FLOOR, POINTS, BINS = 1e-10, 1000, 10


def continuous_kl(generated: np.ndarray, reference: np.ndarray) -> float:
    """`KL(reference || generated)` in nats of Gaussian kernel densities on 1,000 points across both samples.

    NaN where a density cannot be estimated: fewer than two values, or all the same.
    """
    from scipy.stats import entropy, gaussian_kde

    if any(len(values) < 2 or np.ptp(values) == 0 for values in (generated, reference)):
        return math.nan
    both = np.concatenate([generated, reference])
    points = np.linspace(both.min(), both.max(), POINTS)
    return float(entropy(gaussian_kde(reference)(points) + FLOOR, gaussian_kde(generated)(points) + FLOOR))


def discrete_kl(generated: np.ndarray, reference: np.ndarray) -> float:
    """`KL(reference || generated)` in nats of histograms in ten bins across the reference; NaN of nothing."""
    from scipy.stats import entropy

    if not len(generated) or not len(reference):
        return math.nan
    p, edges = np.histogram(reference, BINS, density=True)
    q, _ = np.histogram(generated, edges)
    width = edges[1] - edges[0]
    return float(entropy(p + FLOOR, q / max(q.sum(), 1) / width + FLOOR))


def kl_suite(generated: Sequence[Record], reference: Sequence[Record], device: str = "cpu") -> dict[str, float]:
    """The divergence of each property, and `score = mean exp(-KL)`, 1 at best.

    Internal similarity is that of each molecule to its nearest other one, Morgan radius 2, 4,096 bits. Both sets are
    taken without repetitions. A property whose divergence is undefined is left out of the score; NaN if all are.
    """
    generated, reference = distinct(generated), distinct(reference)
    found = {
        name: continuous_kl(scalar(generated, ours), scalar(reference, ours)) for name, ours in CONTINUOUS.items()
    }
    found |= {name: discrete_kl(scalar(generated, ours), scalar(reference, ours)) for name, ours in DISCRETE.items()}
    similar = [internal_similarity(records, device) for records in (generated, reference)]
    found["internal similarity"] = continuous_kl(*similar)
    defined = [math.exp(-value) for value in found.values() if not math.isnan(value)]
    score = sum(defined) / len(defined) if defined else math.nan
    return {"score": score, **{f"KL {name}": value for name, value in found.items()}}


def internal_similarity(records: Sequence[Record], device: str = "cpu") -> np.ndarray:
    """Of each molecule its similarity to the nearest other one."""
    return nearest_other(stacked(records, "long_bits"), device) if len(records) > 1 else np.zeros(0)


def distinct(records: Sequence[Record]) -> list[Record]:
    """The first record of each molecule."""
    return list({each.key: each for each in reversed(records)}.values())[::-1]

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

    NaN where a density cannot be estimated, of fewer than two values or equal ones; 0 of two samples of the same value.
    """
    from scipy.stats import entropy, gaussian_kde

    if len(generated) and len(reference) and np.ptp(np.concatenate([generated, reference])) == 0:
        return 0.0
    if any(len(values) < 2 or np.ptp(values) == 0 for values in (generated, reference)):
        return math.nan
    both = np.concatenate([generated, reference])
    points = np.linspace(both.min(), both.max(), POINTS)
    return float(entropy(gaussian_kde(reference)(points) + FLOOR, gaussian_kde(generated)(points) + FLOOR))


def discrete_kl(generated: np.ndarray, reference: np.ndarray) -> float:
    """`KL(reference || generated)` in nats of histograms in ten bins across the reference; NaN of nothing.

    As in GuacaMol, generated values beyond the reference's range do not count. Where none is within it, every bin
    holds the floor, 1e-10, so that the divergence is large, not undefined.
    """
    from scipy.stats import entropy

    if not len(generated) or not len(reference):
        return math.nan
    p, edges = np.histogram(reference, BINS, density=True)
    counts, _ = np.histogram(generated, edges)
    if not counts.any():
        share = p / p.sum()
        return float((share * np.log(share / FLOOR, where=share > 0, out=np.zeros(BINS))).sum())
    q = counts / counts.sum() / (edges[1] - edges[0])
    return max(0.0, float(entropy(p + FLOOR, q + FLOOR)))  # rounding goes below 0


def kl_suite(generated: Sequence[Record], reference: Sequence[Record], device: str = "cpu") -> dict[str, float]:
    """The divergence of each property, and `score = mean exp(-KL)`, 1 at best.

    Internal similarity is that of each molecule to its nearest other one, Morgan radius 2, 4,096 bits. Both sets are
    taken without repetitions. GuacaMol's reference is its training set; here it is the set given. A property whose
    divergence is undefined, as that of a model that always makes the same molecule, adds nothing to the score.
    """
    generated, reference = distinct(generated), distinct(reference)
    found = {name: continuous_kl(scalar(generated, ours), scalar(reference, ours)) for name, ours in CONTINUOUS.items()}
    found |= {name: discrete_kl(scalar(generated, ours), scalar(reference, ours)) for name, ours in DISCRETE.items()}
    similar = [internal_similarity(records, device) for records in (generated, reference)]
    found["internal similarity"] = continuous_kl(*similar)
    parts = [0.0 if math.isnan(value) else math.exp(-value) for value in found.values()]
    score = sum(parts) / len(parts) if generated and reference else math.nan
    return {"score": score, **{f"KL {name}": value for name, value in found.items()}}


def internal_similarity(records: Sequence[Record], device: str = "cpu") -> np.ndarray:
    """Of each molecule its similarity to the nearest other one."""
    return nearest_other(stacked(records, "long_bits"), device) if len(records) > 1 else np.zeros(0)


def distinct(records: Sequence[Record]) -> list[Record]:
    """The first record of each molecule."""
    return list({each.key: each for each in reversed(records)}.values())[::-1]

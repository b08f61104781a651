"""Maximum mean discrepancy of graph statistics, as graph generators report it (GraphRNN, arXiv:1802.08773)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flowsuite.molecules.metrics.records import Record, stacked

BANDWIDTHS = {"degrees": 1.0, "clustering": 0.1}  # of the kernel, in units of the statistic


def earth_movers(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """1-D earth mover's distances (n, m) of histograms (n, bins) and (m, bins) with bins of this width, each of mass 1."""
    from scipy.spatial.distance import cdist

    return cdist(a.cumsum(1), b.cumsum(1), "cityblock") * width


def mmd(a: np.ndarray, b: np.ndarray, width: float, bandwidth: float) -> float:
    """Squared MMD, `E k(a, a') + E k(b, b') - 2 E k(a, b)`, biased, of two sets of histograms.

    `k = exp(-EMD^2 / (2 bandwidth^2))`. Equal histograms are counted once, with their number as a weight, which
    changes nothing but the time.
    """
    (a, weight_a), (b, weight_b) = (unique_rows(rows) for rows in (a, b))

    def mean_kernel(x, weight_x, y, weight_y) -> float:
        kernel = np.exp(-(earth_movers(x, y, width) ** 2) / (2 * bandwidth**2))
        return float(weight_x @ kernel @ weight_y)

    own = mean_kernel(a, weight_a, a, weight_a) + mean_kernel(b, weight_b, b, weight_b)
    return max(0.0, own - 2 * mean_kernel(a, weight_a, b, weight_b))


def unique_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows, and the share of each."""
    found, counts = np.unique(rows, axis=0, return_counts=True)
    return found, counts / len(rows)


def structural_metrics(generated: Sequence[Record], reference: Sequence[Record]) -> dict[str, float]:
    """MMD of degree and of clustering-coefficient histograms; NaN where a set is empty."""
    if not generated or not reference:
        return {f"{name} MMD": math.nan for name in BANDWIDTHS}
    figures = {}
    for name, bandwidth in BANDWIDTHS.items():
        a, b = (stacked(records, name) for records in (generated, reference))
        width = 1.0 if name == "degrees" else 1.0 / a.shape[1]
        figures[f"{name} MMD"] = mmd(a, b, width, bandwidth)
    return figures

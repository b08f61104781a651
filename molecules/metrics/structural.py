"""Maximum mean discrepancy of graph statistics, as graph generators report it (GraphRNN, arXiv:1802.08773), and of the
neighbourhoods of atoms (NSPDK, as GDSS, arXiv:2202.02514)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from flowsuite.molecules.metrics.nspdk import nspdk_mmd
from flowsuite.molecules.metrics.records import Record, stacked

ROWS = 2048  # of a block of the kernel matrix
# bandwidth of the kernel, in units of the statistic, as published
BANDWIDTHS = {"degrees": 1.0, "clustering": 0.1, "orbits": 30.0}


def earth_movers(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """1-D earth mover's distances (n, m) of histograms (n, bins) and (m, bins), each of mass 1, bins of this width."""
    from scipy.spatial.distance import cdist

    return cdist(a.cumsum(1), b.cumsum(1), "cityblock") * width


def squared_earth_movers(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    return np.square(earth_movers(a, b, width))


def squared_euclidean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances (n, m) of rows (n, d) and (m, d)."""
    from scipy.spatial.distance import cdist

    return cdist(a, b, "sqeuclidean")


def mmd(a: np.ndarray, b: np.ndarray, squared: Callable[..., np.ndarray], bandwidth: float) -> float:
    """Squared MMD, `E k(a, a') + E k(b, b') - 2 E k(a, b)`, biased, of two sets of rows.

    `k = exp(-squared / (2 bandwidth^2))` with `squared(x, y)` the squared distances of rows. Equal rows are counted
    once, with their number as a weight, which changes nothing but the time.
    """
    (a, weight_a), (b, weight_b) = (unique_rows(rows) for rows in (a, b))

    def mean_kernel(x, weight_x, y, weight_y) -> float:
        total = 0.0
        for start in range(0, len(x), ROWS):
            kernel = squared(x[start : start + ROWS], y)
            kernel *= -0.5 / bandwidth**2
            total += float(weight_x[start : start + ROWS] @ np.exp(kernel, out=kernel) @ weight_y)
        return total

    own = mean_kernel(a, weight_a, a, weight_a) + mean_kernel(b, weight_b, b, weight_b)
    return max(0.0, own - 2 * mean_kernel(a, weight_a, b, weight_b))


def unique_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows, and the share of each."""
    found, counts = np.unique(rows, axis=0, return_counts=True)
    return found, counts / len(rows)


DISTANCES = {
    "degrees": partial(squared_earth_movers, width=1.0),
    "clustering": partial(squared_earth_movers, width=0.01),
    "orbits": squared_euclidean,
}


def structural_metrics(generated: Sequence[Record], reference: Sequence[Record]) -> dict[str, float]:
    """MMD of degree and of clustering-coefficient histograms, of orbit counts, and NSPDK MMD; NaN where a set is
    empty."""
    if not generated or not reference:
        return {f"{name} MMD": math.nan for name in (*BANDWIDTHS, "NSPDK")}
    figures = {}
    for name, bandwidth in BANDWIDTHS.items():
        a, b = (stacked(records, name) for records in (generated, reference))
        figures[f"{name} MMD"] = mmd(a, b, DISTANCES[name], bandwidth)
    figures["NSPDK MMD"] = nspdk_mmd([each.nspdk for each in generated], [each.nspdk for each in reference])
    return figures

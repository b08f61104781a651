"""Frechet distance of Gaussian fits to two sets of features."""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """`|m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))` with unbiased covariances, in float64 (arXiv 1706.08500).

    It is biased upwards for few rows: always say how many there were.

    Args:
        first, second: (N, D) and (M, D) features, at least two rows each.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"expected features (N, D) and (M, D) of at least two rows, got {shapes}")
    first, second = first.double(), second.double()
    if not (first.isfinite().all() and second.isfinite().all()):
        raise ValueError("expected finite features, got some that are not")
    distance = (first.mean(0) - second.mean(0)).square().sum()
    one, two = torch.cov(first.T).reshape(first.shape[1], -1), torch.cov(second.T).reshape(first.shape[1], -1)
    root = symmetric_root(one)
    # The eigenvalues of S_1 S_2 are those of the symmetric S_1^(1/2) S_2 S_1^(1/2).
    eigenvalues = torch.linalg.eigvalsh(root @ two @ root).clamp_min(0)
    return float(distance + one.trace() + two.trace() - 2 * eigenvalues.sqrt().sum())


def symmetric_root(matrix: Tensor) -> Tensor:
    """The square root of a symmetric positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T

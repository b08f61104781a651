"""Distances between point clouds as the field reports them: Chamfer (CD) and earth mover's (EMD), arXiv 1906.12320.

Clouds are (B, N, 3), distances in the unit of the coordinates: squared for CD, not squared for EMD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from flowsuite.pointclouds.assignment import assignment_cost, optimal_partners
from flowsuite.pointclouds.checks import check_batches, check_both_finite, check_same_points, check_shapes
from flowsuite.pointclouds.nearest import nearest_squared, pairwise_nearest, threads


def chamfer(x: Tensor, y: Tensor) -> Tensor:
    """`CD = mean_i min_j |x_i - y_j|^2 + mean_j min_i |x_i - y_j|^2`: squared distances, sum of both means, (B,).

    Differentiable in both clouds.

    Args:
        x: (B, N, 3).
        y: (B, M, 3); M may differ from N.

    Example:
        >>> chamfer(torch.zeros(1, 2, 3), torch.ones(1, 5, 3))
        tensor([6.])
    """
    to_y, to_x = nearest_squared(x, y)
    return to_y.mean(1) + to_x.mean(1)


def pairwise_chamfer(X: Tensor, Y: Tensor, symmetric: bool = False, progress: bool = True) -> Tensor:
    """CD of every cloud of X (G, N, 3) to every one of Y (R, M, 3): (G, R), float64, without gradient.

    Args:
        symmetric: X and Y are the same set: half the work.
        progress: show a progress bar.

    Example:
        >>> X = torch.eye(3)[:, None]
        >>> pairwise_chamfer(X, X, symmetric=True, progress=False)[0]
        tensor([0., 4., 4.], dtype=torch.float64)
    """
    return pairwise_nearest(X, Y, symmetric, progress).chamfer


def emd(x: Tensor, y: Tensor) -> Tensor:
    """`EMD = min over bijections phi of 1/N sum_i |x_i - y_phi(i)|`, exact, distances not squared: (B,).

    Differentiable in both clouds, the bijection held fixed. O(N^3) on the CPU, pairs in parallel. Published PointFlow
    figures use an approximate matcher that is biased high: compare exact figures only with exact ones.

    Args:
        x, y: (B, N, 3), of as many points; finite.
    """
    check_batches(x, y)
    check_same_points(x, y)
    if len(x) == 0:
        return x.new_zeros(0)
    check_both_finite(x, y)
    with ThreadPoolExecutor(threads()) as pool:
        index = torch.from_numpy(np.stack(list(pool.map(optimal_partners, to_numpy(x), to_numpy(y))))).to(x.device)
    return torch.linalg.vector_norm(x - y.gather(1, index[..., None].expand(-1, -1, 3)), dim=-1).mean(1)


def pairwise_emd(X: Tensor, Y: Tensor, symmetric: bool = False, progress: bool = True) -> Tensor:
    """Exact EMD of every cloud of X (G, N, 3) to every one of Y (R, N, 3): (G, R), float64, on the CPU.

    About a second a pair of 2048 points: where only nearest neighbours are wanted, `nearest_by_emd` solves far fewer.

    Args:
        symmetric: X and Y are the same set: half the work.
        progress: show a progress bar.
    """
    check_shapes(X, Y)
    check_same_points(X, Y)
    check_both_finite(X, Y)
    a, b = to_numpy(X), to_numpy(Y)
    if symmetric and X is not Y and not torch.equal(X, Y):
        raise ValueError("symmetric=True says that both sets of clouds are the same, and they are not")
    rows, columns = np.triu_indices(len(a), 1) if symmetric else np.indices((len(a), len(b))).reshape(2, -1)
    result = np.zeros((len(a), len(b)))
    pairs = ((a[i], b[j]) for i, j in zip(rows, columns, strict=True))
    for i, j, (cost, _) in zip(rows, columns, solve_all(assignment_cost, pairs, len(rows), progress), strict=True):
        result[i, j] = cost
    return torch.from_numpy(result + result.T if symmetric else result)


def solve_all(function: Callable, pairs: Iterable[tuple], total: int, progress: bool) -> Iterator:
    """`function(*pair)` of every pair in order, by a pool of threads: the assignment lets go of Python's lock."""
    from tqdm import tqdm

    with ThreadPoolExecutor(threads()) as pool:
        results = pool.map(lambda pair: function(*pair), pairs)
        yield from tqdm(results, total=total, desc="assignments", unit="pair", disable=not progress)


def to_numpy(clouds: Tensor) -> np.ndarray:
    return clouds.detach().cpu().double().numpy()

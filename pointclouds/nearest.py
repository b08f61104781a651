"""Nearest neighbours between the points of clouds: blocked differences on any device, or KD-trees on a CPU.

Distances are computed from coordinate differences, never from `|x|^2 + |y|^2 - 2 x.y`: nothing cancels, clouds far
from the origin lose no digits, and neither TF32 nor autocast touches them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flowsuite.pointclouds.checks import check_batches, check_both_finite, check_shapes

BLOCK = {"cpu": 2**18, "cuda": 2**26}  # distances held at a time: the cache of a core, or 256 MiB of a card
TREE_PAIRS = 2**20  # N x M from which KD-trees beat blocks where only the smallest distances are wanted, measured
TREE_PAIRS_INDEX = 2**17  # the same where their indices are wanted, which blocks find slowly on a CPU
TREE_QUERIES = 2**20  # points asked of a tree at a time


def threads() -> int:
    """Threads of the KD-trees and assignments: as many as torch's."""
    return torch.get_num_threads()


def squared_blocks(x: Tensor, y: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Squared distances `|x_i - y_j|^2` of x (B, N, 3) and y (B, M, 3) by blocks of rows.

    Yields `(first row, (B, rows, M))`; the memory of a block is used again for the next.
    """
    budget = BLOCK.get(x.device.type, BLOCK["cuda"])
    rows = min(x.shape[1], max(1, budget // (len(x) * y.shape[1])))
    columns = y.mT.contiguous()
    buffers = x.new_empty(2, len(x), rows, y.shape[1])
    for start in range(0, x.shape[1], rows):
        part = x[:, start : start + rows]
        total, difference = buffers[:, :, : part.shape[1]]
        torch.sub(part[..., :1], columns[:, :1], out=total)
        total.mul_(total)
        for axis in range(1, x.shape[-1]):
            torch.sub(part[..., axis : axis + 1], columns[:, axis : axis + 1], out=difference)
            total.addcmul_(difference, difference)
        yield start, total


def blocked_minima(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """`min_j |x_i - y_j|^2` (B, N) and `min_i |x_i - y_j|^2` (B, M)."""
    to_y, to_x = [], None
    for _, block in squared_blocks(x, y):
        to_y.append(block.amin(2))
        least = block.amin(1)
        to_x = least if to_x is None else torch.minimum(to_x, least)
    return torch.cat(to_y, 1), to_x


def blocked_indices(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The arguments of the minima of `blocked_minima`, int64."""
    to_y, to_x, least = [], None, None
    for start, block in squared_blocks(x, y):
        to_y.append(block.argmin(2))
        values, rows = block.min(1)
        rows += start
        if least is not None:
            closer = values < least
            values, rows = torch.where(closer, values, least), torch.where(closer, rows, to_x)
        least, to_x = values, rows
    return torch.cat(to_y, 1), to_x


def tree_indices(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """`blocked_indices` by a KD-tree for every cloud, pairs in parallel."""
    from scipy.spatial import cKDTree

    def both(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return cKDTree(b).query(a)[1], cKDTree(a).query(b)[1]

    with ThreadPoolExecutor(threads()) as pool:
        pairs = list(pool.map(both, x.numpy(), y.numpy()))
    to_y, to_x = (torch.from_numpy(np.stack(rows).astype(np.int64)) for rows in zip(*pairs, strict=True))
    return to_y, to_x


def nearest_squared(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances of every point to the nearest one of the other cloud: (B, N) and (B, M).

    Differentiable in both clouds, the choice of the neighbour held fixed: the gradient almost everywhere. Half
    precision is computed in float32. Non-finite coordinates give non-finite distances.

    Args:
        x: (B, N, 3).
        y: (B, M, 3); M may differ from N.
    """
    check_batches(x, y)
    dtype = torch.float64 if torch.float64 in (x.dtype, y.dtype) else torch.float32
    x, y = x.to(dtype), y.to(dtype)
    if len(x) == 0:
        return x.new_zeros(x.shape[:2]), y.new_zeros(y.shape[:2])
    with torch.no_grad():
        a, b = x.detach(), y.detach()
        large = x.device.type == "cpu" and x.shape[1] * y.shape[1] >= TREE_PAIRS_INDEX
        by_tree = large and bool(torch.isfinite(a).all() and torch.isfinite(b).all())
        to_y, to_x = tree_indices(a, b) if by_tree else blocked_indices(a, b)
    return squared_to(x, y, to_y), squared_to(y, x, to_x)


def squared_to(x: Tensor, y: Tensor, index: Tensor) -> Tensor:
    """`|x_i - y_index(i)|^2`, (B, N)."""
    return (x - y.gather(1, index[..., None].expand(-1, -1, 3))).square().sum(-1)


@dataclass
class PairwiseNearest:
    """Sums over nearest neighbours for every pair of two sets of clouds, float64.

    Attributes:
        chamfer: `mean_i min_j |x_i - y_j|^2 + mean_j min_i |x_i - y_j|^2`, (G, R).
        emd_bound: `max(mean_i min_j |x_i - y_j|, mean_j min_i |x_i - y_j|)`, never above the EMD, (G, R).
    """

    chamfer: Tensor
    emd_bound: Tensor


def pairwise_nearest(X: Tensor, Y: Tensor, symmetric: bool = False, progress: bool = False) -> PairwiseNearest:
    """One pass over all pairs of clouds of X (G, N, 3) and Y (R, M, 3).

    Args:
        symmetric: X and Y are the same set: half the work.
        progress: show a progress bar.
    """
    check_shapes(X, Y)
    check_both_finite(X, Y)
    if symmetric and X is not Y and not torch.equal(X, Y):
        raise ValueError("symmetric=True says that both sets of clouds are the same, and they are not")
    dtype = torch.float64 if torch.float64 in (X.dtype, Y.dtype) else torch.float32
    X, Y = X.detach().to(dtype), Y.detach().to(dtype)
    if X.device.type == "cpu" and X.shape[1] * Y.shape[1] >= TREE_PAIRS:
        return pairwise_by_trees(X, Y, symmetric, progress)
    return pairwise_by_blocks(X, Y, symmetric, progress)


def pairwise_by_blocks(X: Tensor, Y: Tensor, symmetric: bool, progress: bool) -> PairwiseNearest:
    from tqdm import tqdm

    rows, columns = torch.triu_indices(len(X), len(X), 1) if symmetric else torch.ones(len(X), len(Y)).nonzero().T
    rows, columns = rows.to(X.device), columns.to(X.device)
    chunk = max(1, BLOCK.get(X.device.type, BLOCK["cuda"]) // (X.shape[1] * Y.shape[1]))
    result = PairwiseNearest(*(X.new_zeros(2, len(X), len(Y), dtype=torch.float64)))
    with tqdm(total=len(rows), desc="nearest points", unit="pair", disable=not progress) as bar:
        for start in range(0, len(rows), chunk):
            i, j = rows[start : start + chunk], columns[start : start + chunk]
            to_y, to_x = (d.double() for d in blocked_minima(X[i], Y[j]))
            result.chamfer[i, j] = to_y.mean(1) + to_x.mean(1)
            result.emd_bound[i, j] = torch.maximum(to_y.sqrt().mean(1), to_x.sqrt().mean(1))
            bar.update(len(i))
    if symmetric:
        return PairwiseNearest(result.chamfer + result.chamfer.T, result.emd_bound + result.emd_bound.T)
    return result


def pairwise_by_trees(X: Tensor, Y: Tensor, symmetric: bool, progress: bool) -> PairwiseNearest:
    from tqdm import tqdm

    total = len(Y) if symmetric else len(X) + len(Y)
    with tqdm(total=total, desc="nearest points", unit="cloud", disable=not progress) as bar:
        squared, plain = directed_means(X.numpy(), Y.numpy(), bar)
        back = (squared, plain) if symmetric else directed_means(Y.numpy(), X.numpy(), bar)
    squared, plain = squared + back[0].T, np.maximum(plain, back[1].T)
    return PairwiseNearest(torch.from_numpy(squared), torch.from_numpy(plain))


def directed_means(X: np.ndarray, Y: np.ndarray, bar) -> tuple[np.ndarray, np.ndarray]:
    """`mean_i min_j d^2` and `mean_i min_j d` from every cloud of X to every one of Y, (G, R) each.

    One tree for every cloud of Y, asked for all points of X at once, by all processors.
    """
    from scipy.spatial import cKDTree

    squared, plain = np.empty((2, len(X), len(Y)))
    step = max(1, TREE_QUERIES // X.shape[1])
    for j, cloud in enumerate(Y):
        tree = cKDTree(cloud)
        for start in range(0, len(X), step):
            part = X[start : start + step]
            distance = tree.query(part.reshape(-1, 3), workers=threads())[0].reshape(len(part), -1)
            plain[start : start + step, j] = distance.mean(1)
            squared[start : start + step, j] = np.square(distance, out=distance).mean(1)
        bar.update()
    return squared, plain

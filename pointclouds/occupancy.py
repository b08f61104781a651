"""Jensen-Shannon divergence between the occupancies of two collections of clouds on a grid (arXiv 1707.02392)."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from flowsuite.pointclouds.checks import as_clouds
from flowsuite.pointclouds.nearest import threads

POINTS = 2**20  # looked up at a time


@functools.lru_cache(maxsize=8)
def grid_centres(resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres within the ball of radius 1/2 of a grid over [-1/2, 1/2]^3, and the place of every cell among them.

    Float32 as in the reference code, since a centre may lie on the sphere itself.

    Returns:
        centres (K, 3), x slowest, and places (resolution^3,), -1 for cells outside.
    """
    axis = (np.arange(resolution) * (1.0 / (resolution - 1)) - 0.5).astype(np.float32)
    cells = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    kept = np.linalg.norm(cells, axis=1) <= 0.5
    places = np.where(kept, np.cumsum(kept) - 1, -1)
    return cells[kept], places


def occupancy(clouds: Tensor, resolution: int = 28) -> Tensor:
    """How many points of all clouds lie nearest to each kept centre, (K,), int64; points outside count as well.

    The rounded cell of a point is the nearest of the whole grid, hence the nearest kept one if it is kept; a KD-tree
    finds it for the rest.

    Args:
        clouds: (B, N, 3).
        resolution: cells along an edge, at least 2.
    """
    from scipy.spatial import cKDTree

    if resolution < 2:
        raise ValueError(f"resolution of the grid must be at least 2, got {resolution}")
    centres, places = grid_centres(resolution)
    if not len(centres):
        raise ValueError(f"a grid of {resolution}^3 has no cell centre within radius 1/2: choose another resolution")
    counts = torch.zeros(len(centres), dtype=torch.int64)
    tree = None
    lookup = torch.from_numpy(places).to(clouds.device)
    for points in clouds.detach().reshape(-1, 3).split(POINTS):
        cell = ((points.double() + 0.5) * (resolution - 1)).clamp_(0, resolution - 1).round_().long()
        place = lookup[(cell[:, 0] * resolution + cell[:, 1]) * resolution + cell[:, 2]]
        outside = place < 0
        counts += torch.bincount(place[~outside], minlength=len(centres)).cpu()
        if outside.any():
            tree = tree or cKDTree(centres)
            nearest = tree.query(points[outside].double().cpu().numpy(), workers=threads())[1]
            counts += torch.bincount(torch.from_numpy(nearest), minlength=len(centres))
    return counts


def entropy(p: Tensor) -> Tensor:
    """`-sum p log2 p`, bits."""
    return -torch.special.xlogy(p, p).sum() / np.log(2)


def divergence(a: Tensor, b: Tensor) -> float:
    """`JSD = H(1/2 (P + Q)) - 1/2 (H(P) + H(Q))`, base 2, of two vectors of counts; 0 for equal ones, at most 1."""
    p, q = a.double() / a.sum(), b.double() / b.sum()
    return (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2).item()


def jensen_shannon(generated: Tensor, reference: Tensor, resolution: int = 28) -> float:
    """JSD between the occupancies of two collections of clouds, base 2.

    Args:
        generated, reference: (G, N, 3) and (R, M, 3), in the ball of radius 1/2 as a rule.
        resolution: cells along an edge; 28 in the published tables.
    """
    sets = (as_clouds(generated, "generated clouds"), as_clouds(reference, "reference clouds"))
    return divergence(*(occupancy(clouds, resolution) for clouds in sets))

"""Tanimoto similarities of many fingerprints at once: bit matrices multiplied block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

ROWS, COLUMNS = 1024, 8192  # molecules of a block of the similarity matrix
SQUARE = 2048  # of one of a set and itself


def unpack(packed: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
    """Rows of packed bits (n, bits / 8) as float32 (n, bits)."""
    return torch.from_numpy(np.unpackbits(packed, axis=-1)).to(device, torch.float32)


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Tanimoto similarities (n, m) in float64 of bits (n, bits) and (m, bits); two rows without bits are alike."""
    both = (a @ b.T).double()
    either = a.sum(1, dtype=torch.float64)[:, None] + b.sum(1, dtype=torch.float64) - both
    return torch.where(either > 0, both / either, 1.0)


def blocks(a: np.ndarray, b: np.ndarray, device: str | torch.device = "cpu") -> Iterator[tuple[slice, slice, Tensor]]:
    """`(rows, columns, similarities of these)` of two sets of packed bits, block by block."""
    for left in range(0, len(a), ROWS):
        rows = slice(left, min(left + ROWS, len(a)))
        bits = unpack(a[rows], device)
        for top in range(0, len(b), COLUMNS):
            columns = slice(top, min(top + COLUMNS, len(b)))
            yield rows, columns, similarity(bits, unpack(b[columns], device))


def own_blocks(a: np.ndarray, device: str | torch.device = "cpu") -> Iterator[tuple[slice, slice, Tensor]]:
    """As `blocks` of a set and itself, but of two blocks that mirror each other only the one above the diagonal."""
    for left in range(0, len(a), SQUARE):
        rows = slice(left, min(left + SQUARE, len(a)))
        bits = unpack(a[rows], device)
        for top in range(left, len(a), SQUARE):
            columns = slice(top, min(top + SQUARE, len(a)))
            yield rows, columns, similarity(bits, bits if top == left else unpack(a[columns], device))


def nearest(a: np.ndarray, b: np.ndarray, device: str | torch.device = "cpu") -> np.ndarray:
    """Of each row of `a` its largest similarity to a row of `b`, (n,)."""
    best = torch.zeros(len(a), dtype=torch.float64, device=device)
    for rows, _, found in blocks(a, b, device):
        best[rows] = torch.maximum(best[rows], found.amax(1))
    return best.cpu().numpy()


def nearest_other(a: np.ndarray, device: str | torch.device = "cpu") -> np.ndarray:
    """Of each row its largest similarity to another row, (n,); 0 for a row alone."""
    best = torch.zeros(len(a), dtype=torch.float64, device=device)
    for rows, columns, found in own_blocks(a, device):
        if rows == columns:
            found.fill_diagonal_(0.0)
        else:
            best[columns] = torch.maximum(best[columns], found.amax(0))
        best[rows] = torch.maximum(best[rows], found.amax(1))
    return best.cpu().numpy()


def mean_powers(a: np.ndarray, device: str | torch.device = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """Of each row the mean similarity to all rows, itself included, and the mean squared similarity: (n,) each."""
    first, second = (torch.zeros(len(a), dtype=torch.float64, device=device) for _ in range(2))
    for rows, columns, found in own_blocks(a, device):
        for sums in (first, second):
            sums[rows] += found.sum(1)
            if rows != columns:
                sums[columns] += found.sum(0)
            found.square_()
    count = max(len(a), 1)
    return (first / count).cpu().numpy(), (second / count).cpu().numpy()


def internal_diversity(a: np.ndarray, device: str | torch.device = "cpu") -> tuple[float, float]:
    """IntDiv and IntDiv2 (MOSES, arXiv:1811.12823) of packed bits (n, bits / 8).

    `1 - mean_xy T` and `1 - mean_x sqrt(mean_y T^2)` of the Tanimoto similarities T of all ordered pairs, each with
    itself included; NaN of no rows. MOSES takes Morgan fingerprints of radius 2, 1,024 bits.
    """
    if not len(a):
        return math.nan, math.nan
    first, second = mean_powers(a, device)
    return 1.0 - float(first.mean()), 1.0 - float(np.sqrt(second).mean())

"""The neighbourhood subgraph pairwise distance kernel (NSPDK, Costa and De Grave, ICML 2010), and its MMD of two sets.

A feature of a molecule is a pair of balls, the subgraphs within r bonds of two roots that are d bonds apart, for each
r = 0 .. 4 and d = 0 .. 4 (d = 0: one root twice). Vertices are labelled by element, edges by bond type, aromatic being
one of them. With n_rd(x) the counts of the pairs, each block divided by its norm, and all by the norm of the whole,

    k(x, y) = sum_rd <n_rd(x), n_rd(y)> / (|n_rd(x)| |n_rd(y)|) / sqrt(B(x) B(y)),    B = number of blocks not empty,

so that k(x, x) = 1. Radius and distance are those of EDeN's `complexity=4`, with which GDSS (arXiv:2202.02514) and its
successors report `NSPDK MMD`. They read aromatic bonds as single ones and fold the features into 2^16 places; here
there are 2^32, and hashes of another kind, so figures agree in size, not in every digit.

A ball is told by colour refinement: atoms begin with their distance from the root and their element, and take in their
neighbours and bonds r times. Balls that are equal have equal hashes, whatever the numbering; different ones that
refinement cannot tell apart, or whose hashes collide, count as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rdkit import Chem

RADIUS = DISTANCE = 4  # bonds

Features = tuple[np.ndarray, np.ndarray]
"""Places (F,) as uint32, ascending, and values (F,) as float32, of norm 1."""

FACTORS = tuple(np.uint64(factor) for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB))  # of splitmix64
ODD = np.uint64(0x9E3779B97F4A7C15)


def mixed(numbers: np.ndarray) -> np.ndarray:
    """A hash of each uint64."""
    numbers = numbers + ODD
    for factor, shift in zip(FACTORS, (30, 27), strict=True):
        numbers ^= numbers >> np.uint64(shift)
        numbers *= factor
    return numbers ^ (numbers >> np.uint64(31))


def neighbour_table(mol: Chem.Mol) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours (n, D) of each atom, n where it has fewer than D, and odd factors (n, D) for the types of the bonds
    to them."""
    n = mol.GetNumAtoms()
    bonded = [[] for _ in range(n)]
    for index in range(mol.GetNumBonds()):
        bond = mol.GetBondWithIdx(index)
        i, j, kind = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), int(bond.GetBondType())
        bonded[i].append((j, kind))
        bonded[j].append((i, kind))
    widest = max(map(len, bonded), default=0)
    table = np.array([others + [(n, 0)] * (widest - len(others)) for others in bonded], dtype=np.int64)
    table = table.reshape(n, widest, 2)
    return table[:, :, 0], mixed(table[:, :, 1].astype(np.uint64)) | np.uint64(1)


def balls(mol: Chem.Mol, distances: np.ndarray, radius: int) -> np.ndarray:
    """Hashes (radius + 1, n) of the ball of each radius about each atom."""
    n = len(distances)
    neighbours, kinds = neighbour_table(mol)
    elements = np.array([mol.GetAtomWithIdx(i).GetAtomicNum() for i in range(n)], dtype=np.uint64)
    within = distances <= np.arange(radius + 1)[:, None, None]  # (radius + 1, root, atom)
    # One atom more, of colour 0, is what the missing neighbours are.
    colours = np.zeros((radius + 1, n, n + 1), dtype=np.uint64)
    start = mixed(elements * np.uint64(radius + 2) + np.minimum(distances, radius + 1).astype(np.uint64))
    colours[:, :, :n] = np.where(within, start, 0)
    for round_ in range(radius):
        at = slice(round_ + 1, None)  # a ball takes as many rounds as its radius
        told = (colours[at][:, :, neighbours] * kinds).sum(-1, dtype=np.uint64)
        colours[at, :, :n] = np.where(within[at], mixed(colours[at, :, :n] * FACTORS[0] + told), 0)
    return mixed(colours.sum(-1, dtype=np.uint64))


def features(mol: Chem.Mol, radius: int = RADIUS, distance: int = DISTANCE) -> Features:
    """The normalised features of a molecule with at least one atom, for balls up to `radius` and up to `distance`
    bonds apart."""
    distances = Chem.GetDistanceMatrix(mol)  # of atoms that are not connected: 1e8
    hashes = balls(mol, distances, radius)
    i, j = np.nonzero(np.triu(distances <= distance))
    apart = distances[i, j].astype(np.uint64)
    blocks = np.arange(radius + 1, dtype=np.uint64)[:, None] * np.uint64(distance + 1) + apart  # (radius + 1, pairs)
    keys = mixed(hashes[:, i] + hashes[:, j] + mixed(blocks))
    places, first, counts = np.unique(
        (keys >> np.uint64(32)).astype(np.uint32).ravel(), return_index=True, return_counts=True
    )
    block = blocks.ravel()[first].astype(np.int64)
    squares = np.bincount(block, np.square(counts, dtype=np.float64))
    values = counts / np.sqrt(squares[block] * np.count_nonzero(squares))
    return places, values.astype(np.float32)


def kernel(a: Features, b: Features) -> float:
    """`k` of two molecules by their features, 0 to 1."""
    _, in_a, in_b = np.intersect1d(a[0], b[0], assume_unique=True, return_indices=True)
    return float(a[1][in_a].astype(np.float64) @ b[1][in_b])


def mean_features(molecules: Sequence[Features]) -> Features:
    """The mean of the features of a set, in float64."""
    places, where = np.unique(np.concatenate([each[0] for each in molecules]), return_inverse=True)
    values = np.bincount(where.ravel(), np.concatenate([each[1] for each in molecules]))
    return places, values / len(molecules)


def nspdk_mmd(a: Sequence[Features], b: Sequence[Features]) -> float:
    """Squared MMD, `E k(a, a') + E k(b, b') - 2 E k(a, b)`, biased, of two sets; NaN where one is empty.

    The kernel is a product of features, hence this is the squared distance of their means: no matrix of pairs.
    """
    if not len(a) or not len(b):
        return math.nan
    (places_a, mean_a), (places_b, mean_b) = mean_features(a), mean_features(b)
    common, in_a, in_b = np.intersect1d(places_a, places_b, assume_unique=True, return_indices=True)
    both = np.square(mean_a[in_a] - mean_b[in_b]).sum() if len(common) else 0.0
    alone = [np.square(np.delete(mean, found)).sum() for mean, found in ((mean_a, in_a), (mean_b, in_b))]
    return float(both + sum(alone))

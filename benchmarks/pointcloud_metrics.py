"""Chamfer distance beside a plain torch one and KD-trees; nearest neighbours by EMD with and without pruning."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks.table import Column, Table
from benchmarks.timing import medians, synchronize
from flowsuite.pointclouds.data_shapes import make_shapes
from flowsuite.pointclouds.distances import chamfer, pairwise_chamfer, pairwise_emd
from flowsuite.pointclouds.emd_search import nearest_by_emd

PAIRS = (8, 2048)  # clouds, points
SEARCHES = ((40, 256), (12, 1024))


def plain_chamfer(x: Tensor, y: Tensor) -> Tensor:
    """As usually written where no extension is built: all of `|x|^2 + |y|^2 - 2 x.y`, (B, N, M), and two minima."""
    squared = x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None] - 2 * torch.bmm(x, y.mT)
    return squared.min(2)[0].mean(1) + squared.min(1)[0].mean(1)


def tree_chamfer(x: Tensor, y: Tensor) -> list[float]:
    """Two KD-trees built anew for every pair, one thread."""
    from scipy.spatial import cKDTree

    figures = []
    for a, b in zip(x.numpy(), y.numpy(), strict=True):
        to_y, to_x = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
        figures.append(float(np.square(to_y).mean() + np.square(to_x).mean()))
    return figures


def run_chamfer(clouds: int, points: int, rounds: int, device: str = "cpu") -> dict[str, float]:
    """Milliseconds a pair: `clouds` pairs at a time one by one, and the matrix of all pairs of two sets."""
    generated, reference = (make_shapes("chair", "test", range(clouds), points, seed).to(device) for seed in (0, 1))
    one_by_one: dict[str, Callable[[], object]] = {
        "plain torch, B x N x M": lambda: plain_chamfer(generated, reference),
        "flowsuite chamfer": lambda: chamfer(generated, reference),
    }
    if device == "cpu":
        one_by_one["KD-trees, built for every pair"] = lambda: tree_chamfer(generated, reference)
    times = {name: ms / clouds for name, ms in medians(one_by_one, rounds, 1).items()}
    matrices = {
        "flowsuite pairwise_chamfer": lambda: pairwise_chamfer(generated, reference, progress=False),
        "flowsuite pairwise_chamfer, symmetric": lambda: pairwise_chamfer(generated, generated, True, progress=False),
    }
    return times | {name: ms / clouds**2 for name, ms in medians(matrices, rounds, 1).items()}


def run_search(clouds: int, points: int) -> dict[str, dict[str, float]]:
    """Assignments solved and seconds for the neighbours of MMD, COV and 1-NNA: full matrices and pruned searches."""
    generated, reference = (make_shapes("chair", "test", range(clouds), points, seed) for seed in (0, 1))

    def full() -> tuple[int, int]:
        pairwise_emd(generated, reference, progress=False)
        for clouds_of_set in (generated, reference):
            pairwise_emd(clouds_of_set, clouds_of_set, True, progress=False)
        return clouds * (2 * clouds - 1), 0

    def pruned(union: bool) -> tuple[int, int]:
        found = nearest_by_emd(generated, reference, union, progress=False)
        return found.solved, found.bounded

    results = {}
    contenders = {
        "full matrices": full,
        "pruned, MMD + COV + 1-NNA": lambda: pruned(True),
        "pruned, MMD + COV": lambda: pruned(False),
    }
    for name, contender in contenders.items():
        synchronize()
        start = time.perf_counter()
        solved, bounded = contender()
        results[name] = {"solved": solved, "bounded": bounded, "seconds": time.perf_counter() - start}
    return results


def tables(args: argparse.Namespace) -> Iterator[Table]:
    clouds, points = PAIRS
    times = run_chamfer(clouds, points, args.rounds, args.device)
    plain = times["plain torch, B x N x M"]
    rows = [[name, ms, plain / ms] for name, ms in times.items()]
    columns = [Column("method"), Column("a pair", "ms", ".2f"), Column("speed-up", "", ".1f")]
    yield Table(f"CD of a pair of clouds of {points} points", columns, rows)
    for clouds, points in SEARCHES:
        rows = [
            [name, row["solved"], row["bounded"], row["seconds"]] for name, row in run_search(clouds, points).items()
        ]
        names = ("neighbours by exact EMD", "assignments", "dismissed by dual bound")
        columns = [*map(Column, names), Column("time", "s", ".1f")]
        yield Table(f"{clouds} generated and {clouds} reference clouds of {points} points", columns, rows)

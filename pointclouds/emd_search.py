"""Nearest neighbours by exact EMD while solving few assignments.

MMD, COV and 1-NNA need only nearest neighbours. Cheap lower bounds are known for all pairs (nearest points, sliced
transport); every search solves its candidates in the order of their bounds and stops when the next bound is above the
best distance found. Larger clouds get a dual bound before they are solved, which spares most of what is left. The
result equals that of the full matrices, ties included.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flowsuite.pointclouds.assignment import SLACK, assignment_cost, sliced_bound
from flowsuite.pointclouds.checks import check_both_finite, check_same_points, check_shapes
from flowsuite.pointclouds.distances import to_numpy
from flowsuite.pointclouds.nearest import PairwiseNearest, pairwise_nearest, threads


@dataclass
class Bounds:
    """What is known of a symmetric matrix of EMDs: `value` is the distance where `exact`, else a lower bound of it."""

    value: np.ndarray
    exact: np.ndarray

    def block(self, part: slice) -> Bounds:
        return Bounds(self.value[part, part].copy(), self.exact[part, part].copy())


@dataclass
class NearestPasses:
    """Nearest-point sums between a generated and a reference set, and within each of them."""

    cross: PairwiseNearest
    generated: PairwiseNearest | None = None
    reference: PairwiseNearest | None = None


@dataclass
class EMDNeighbours:
    """Nearest neighbours by exact EMD of a generated set (G) and a reference set (R).

    Attributes:
        to_reference, to_reference_index: distance and index of the nearest reference of every generated cloud, (G,).
        to_generated, to_generated_index: distance and index of the nearest generated one of every reference, (R,).
        union_index: leave-one-out neighbour of every cloud of the union, generated first, (G + R,); None if not asked.
        solved: assignments solved.
        bounded: pairs dismissed by the dual bound.
        pairs: how many pairs the full matrices have.
        reference: what became known within the reference set, for another search with it.
    """

    to_reference: Tensor
    to_reference_index: Tensor
    to_generated: Tensor
    to_generated_index: Tensor
    union_index: Tensor | None
    solved: int
    bounded: int
    pairs: int
    reference: Bounds | None


def nearest_by_emd(
    generated: Tensor,
    reference: Tensor,
    union: bool = True,
    known_reference: Bounds | None = None,
    nearest: NearestPasses | None = None,
    progress: bool = True,
) -> EMDNeighbours:
    """The nearest neighbours that MMD, COV and (with `union`) 1-NNA need, by exact EMD.

    Args:
        generated: (G, N, 3).
        reference: (R, N, 3).
        union: search within the sets as well.
        known_reference: `EMDNeighbours.reference` of an earlier search with the same reference set.
        nearest: the passes over nearest points, if made already.
        progress: show a progress bar.
    """
    check_shapes(generated, reference)
    check_same_points(generated, reference)
    check_both_finite(generated, reference)
    n_generated, n_reference = len(generated), len(reference)
    clouds = np.concatenate((to_numpy(generated), to_numpy(reference)))
    search = Search(clouds, n_generated, union)
    nearest = nearest or nearest_passes(generated, reference, union, progress)
    search.bound_cross(lower_bound(generated, reference, nearest.cross))
    if union:
        search.bound_within(slice(None, n_generated), lower_bound(generated, generated, nearest.generated))
        known = known_reference or lower_bound(reference, reference, nearest.reference)
        search.bound_within(slice(n_generated, None), known)
    search.run(progress)
    cross = search.exact_values()[:n_generated, n_generated:]
    pairs = n_generated * n_reference
    if union:
        pairs += (n_generated * (n_generated - 1) + n_reference * (n_reference - 1)) // 2
    return EMDNeighbours(
        *(torch.from_numpy(a) for a in (cross.min(1), cross.argmin(1), cross.min(0), cross.argmin(0))),
        union_index=torch.from_numpy(search.exact_values().argmin(1)) if union else None,
        solved=search.solved,
        bounded=search.bounded,
        pairs=pairs,
        reference=search.known.block(slice(n_generated, None)) if union else None,
    )


def nearest_passes(
    generated: Tensor, reference: Tensor, union: bool, progress: bool, known_reference: PairwiseNearest | None = None
) -> NearestPasses:
    """The pass between the sets and, with `union`, those within them; `known_reference` is not computed again."""
    cross = pairwise_nearest(generated, reference, False, progress)
    if not union:
        return NearestPasses(cross)
    within = pairwise_nearest(generated, generated, True, progress)
    return NearestPasses(cross, within, known_reference or pairwise_nearest(reference, reference, True, progress))


def lower_bound(X: Tensor, Y: Tensor, nearest: PairwiseNearest) -> np.ndarray:
    """The better of the nearest-point bound and the sliced one, (G, R)."""
    return torch.maximum(nearest.emd_bound.to(X.device), sliced_bound(X.detach(), Y.detach())).cpu().numpy()


class Search:
    """All nearest-neighbour searches of a union of two sets at once; what one solves, the others know.

    Args:
        clouds: (S, N, 3), the first `split` of them the one set.
        union: whether to look for every cloud's neighbour in the union as well as in the other set.
    """

    def __init__(self, clouds: np.ndarray, split: int, union: bool):
        size = len(clouds)
        self.clouds, self.split, self.union = clouds, split, union
        self.known = Bounds(np.full((size, size), np.inf), np.zeros((size, size), bool))
        self.solved = self.bounded = 0

    def bound_cross(self, bound: np.ndarray) -> None:
        self.known.value[: self.split, self.split :] = bound
        self.known.value[self.split :, : self.split] = bound.T

    def bound_within(self, part: slice, known: np.ndarray | Bounds) -> None:
        if isinstance(known, Bounds):
            self.known.exact[part, part] = known.exact
            known = known.value
        self.known.value[part, part] = known
        np.fill_diagonal(self.known.value, np.inf)

    def exact_values(self) -> np.ndarray:
        """(S, S), infinite where the distance is not known."""
        return np.where(self.known.exact, self.known.value, np.inf)

    def wanted(self) -> tuple[dict[tuple[int, int], float], int]:
        """The next pair of every unfinished search with the most that it needs to know; how many are finished."""
        exact, split = self.exact_values(), self.split
        open_bound = np.where(self.known.exact, np.inf, self.known.value) * (1 - SLACK)
        blocks = [(slice(None, split), slice(split, None)), (slice(split, None), slice(None, split))]
        if self.union:
            blocks.append((slice(None), slice(None)))
        pairs: dict[tuple[int, int], float] = {}
        finished = 0
        for rows, columns in blocks:
            best, candidates = exact[rows, columns].min(1), open_bound[rows, columns]
            choice = candidates.argmin(1)
            least = candidates[np.arange(len(choice)), choice]
            unfinished = np.isfinite(least) & (least <= best)
            finished += int((~unfinished).sum())
            for row in np.flatnonzero(unfinished):
                i, j = row + (rows.start or 0), choice[row] + (columns.start or 0)
                pair = (int(min(i, j)), int(max(i, j)))
                pairs[pair] = max(best[row], pairs.get(pair, 0.0))
        return pairs, finished

    def run(self, progress: bool) -> None:
        from tqdm import tqdm

        total = len(self.clouds) * (2 if self.union else 1)
        with ThreadPoolExecutor(threads()) as pool, tqdm(total=total, unit="search", disable=not progress) as bar:
            bar.set_description("nearest by EMD")
            while True:
                pairs, finished = self.wanted()
                bar.update(finished - bar.n)
                if not pairs:
                    return
                for (i, j), (value, exact) in zip(pairs, pool.map(self.distance, pairs.items()), strict=True):
                    self.note(i, j, value, exact)
                    bar.set_postfix(assignments=self.solved)

    def distance(self, item: tuple[tuple[int, int], float]) -> tuple[float, bool]:
        (i, j), at_most = item
        return assignment_cost(self.clouds[i], self.clouds[j], at_most)

    def note(self, i: int, j: int, value: float, exact: bool) -> None:
        self.known.value[i, j] = self.known.value[j, i] = value
        self.known.exact[i, j] = self.known.exact[j, i] = exact
        self.solved += exact
        self.bounded += not exact

"""The pruned search gives what the full matrices give."""

from __future__ import annotations

import pytest
import torch

from flowsuite.pointclouds.distances import pairwise_emd
from flowsuite.pointclouds.emd_search import nearest_by_emd
from flowsuite.pointclouds.metrics import union_distances
from tests.pointclouds.clouds_made import boxes


def full_matrices(a, b):
    return (
        pairwise_emd(a, a, symmetric=True, progress=False),
        pairwise_emd(a, b, progress=False),
        pairwise_emd(b, b, symmetric=True, progress=False),
    )


def check(found, within_a, cross, within_b):
    assert torch.equal(found.to_reference, cross.amin(1)) and torch.equal(found.to_reference_index, cross.argmin(1))
    assert torch.equal(found.to_generated, cross.amin(0)) and torch.equal(found.to_generated_index, cross.argmin(0))
    if found.union_index is not None:
        assert torch.equal(found.union_index, union_distances(within_a, cross, within_b).argmin(1))


@pytest.mark.parametrize(("sizes", "points"), [((25, 25), 40), ((12, 20), 64), ((3, 2), 5), ((1, 1), 8)])
def test_equals_the_full_matrices(sizes, points):
    a, b = boxes(sizes[0], points, 0), boxes(sizes[1], points, 1)
    matrices = full_matrices(a, b)
    for union in (True, False):
        check(nearest_by_emd(a, b, union, progress=False), *matrices)


def test_equals_the_full_matrices_with_dual_bounds():
    a, b = boxes(6, 512, 0), boxes(6, 512, 1)
    found = nearest_by_emd(a, b, progress=False)
    assert found.bounded > 0 and found.solved + found.bounded <= found.pairs == 36 + 15 + 15
    check(found, *full_matrices(a, b))


def test_solves_a_fraction_of_the_pairs():
    a, b = boxes(40, 32, 0), boxes(40, 32, 1)
    whole, cross = (nearest_by_emd(a, b, union, progress=False) for union in (True, False))
    assert whole.pairs == 1600 + 2 * 780 and cross.pairs == 1600
    assert whole.solved < 0.3 * whole.pairs and cross.solved < 0.3 * cross.pairs
    assert cross.union_index is None and cross.reference is None


def test_ties_go_to_the_first_as_in_the_matrices():
    a = boxes(6, 20, 0)
    b = torch.cat((a[[3, 3, 0]], boxes(3, 20, 1)[[0, 0, 1]]))
    check(nearest_by_emd(a, b, progress=False), *full_matrices(a, b))


def test_a_second_search_knows_the_references():
    a, other, b = boxes(15, 32, 0), boxes(15, 32, 2), boxes(15, 32, 1)
    first = nearest_by_emd(a, b, progress=False)
    fresh = nearest_by_emd(other, b, progress=False)
    informed = nearest_by_emd(other, b, known_reference=first.reference, progress=False)
    assert informed.solved < fresh.solved
    assert torch.equal(informed.union_index, fresh.union_index) and torch.equal(
        informed.to_reference, fresh.to_reference
    )


def test_wrong_input():
    with pytest.raises(ValueError, match="equal size, got 5 and 6"):
        nearest_by_emd(boxes(3, 5, 0), boxes(3, 6, 0))
    with pytest.raises(ValueError, match="first batch of clouds: cloud 2 has NaN"):
        nearest_by_emd(boxes(3, 5, 0) * torch.tensor([1.0, 1, torch.nan])[:, None, None], boxes(3, 5, 0))

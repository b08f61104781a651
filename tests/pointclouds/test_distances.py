from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from flowsuite.pointclouds import nearest
from flowsuite.pointclouds.assignment import assignment_cost, dual_potentials, optimal_partners, sliced_bound
from flowsuite.pointclouds.distances import chamfer, emd, pairwise_chamfer, pairwise_emd
from flowsuite.pointclouds.nearest import nearest_squared, pairwise_nearest
from tests.pointclouds.clouds_made import boxes


def plain_chamfer(x, y):
    squared = (x[:, :, None] - y[:, None]).square().sum(-1)
    return squared.amin(2).mean(1) + squared.amin(1).mean(1)


def test_two_points_by_hand():
    x = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]])
    y = torch.tensor([[[0.0, 0, 0], [0, 0, 3]]])
    assert chamfer(x, y).tolist() == [0.5 + 4.5]
    assert emd(x, y).item() == pytest.approx((0 + 10**0.5) / 2)


@pytest.mark.parametrize("sizes", [(40, 40), (33, 70), (1, 5), (700, 600)])
def test_chamfer_is_its_definition(sizes):
    x, y = boxes(3, sizes[0], 0, torch.float64), boxes(3, sizes[1], 1, torch.float64)
    torch.testing.assert_close(chamfer(x, y), plain_chamfer(x, y), rtol=1e-13, atol=0)


@pytest.mark.parametrize("points", [50, 500])
def test_gradient_of_chamfer(points):
    x, y = (boxes(2, points, seed, torch.float64).requires_grad_() for seed in (0, 1))
    weights = torch.tensor([1.0, 3.0])
    ours = torch.autograd.grad((weights * chamfer(x, y)).sum(), (x, y))
    plain = torch.autograd.grad((weights * plain_chamfer(x, y)).sum(), (x, y))
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_blocks_of_any_size_agree(monkeypatch):
    x, y = boxes(3, 37, 0), boxes(3, 41, 1)
    expected = nearest_squared(x, y)
    for budget in (1, 3 * 41 * 5, 10**6):
        monkeypatch.setitem(nearest.BLOCK, "cpu", budget)
        minima, indices = nearest.blocked_minima(x, y), nearest.blocked_indices(x, y)
        for a, b in zip(minima, expected, strict=True):
            torch.testing.assert_close(a, b)
        assert torch.equal(indices[0], torch.cdist(x, y).argmin(2)) and torch.equal(
            indices[1], torch.cdist(x, y).argmin(1)
        )
        torch.testing.assert_close(
            pairwise_chamfer(x, y, progress=False).diagonal(), chamfer(x, y).double(), rtol=1e-5, atol=0
        )


def test_trees_and_blocks_agree():
    x, y = boxes(4, 60, 0), boxes(5, 80, 1)
    a = nearest.pairwise_by_trees(x, y, False, False)
    b = nearest.pairwise_by_blocks(x, y, False, False)
    torch.testing.assert_close(a.chamfer, b.chamfer, rtol=1e-6, atol=0)
    torch.testing.assert_close(a.emd_bound, b.emd_bound, rtol=1e-6, atol=0)
    for i, j in zip(nearest.tree_indices(x, y[:4]), nearest.blocked_indices(x, y[:4]), strict=True):
        assert torch.equal(i, j)


@pytest.mark.parametrize("points", [30, 1100])
def test_halves_of_the_symmetric_matrix(points):
    x = boxes(4, points, 0)
    whole, half = pairwise_nearest(x, x.clone()), pairwise_nearest(x, x, symmetric=True)
    for a, b in zip(vars(whole).values(), vars(half).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
        assert torch.equal(b, b.T) and (b.diagonal() == 0).all()
    emds = pairwise_emd(x[:, :20], x[:, :20], symmetric=True, progress=False)
    torch.testing.assert_close(emds, pairwise_emd(x[:, :20], x[:, :20].clone(), progress=False), rtol=1e-12, atol=0)


def test_trees_ask_in_parts(monkeypatch):
    x, y = boxes(5, 50, 0), boxes(3, 60, 1)
    whole = nearest.pairwise_by_trees(x, y, False, False)
    monkeypatch.setattr(nearest, "TREE_QUERIES", 100)
    torch.testing.assert_close(nearest.pairwise_by_trees(x, y, False, False).chamfer, whole.chamfer, rtol=0, atol=0)


def test_nothing_cancels_far_from_the_origin():
    x, y = boxes(2, 64, 0) * 1e-3, boxes(2, 64, 1) * 1e-3
    far = [(c.double() + 100).float() for c in (x, y)]
    expected = plain_chamfer(*(c.double() for c in far))
    torch.testing.assert_close(chamfer(*far).double(), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(pairwise_chamfer(*far, progress=False).diagonal(), expected, rtol=1e-6, atol=0)
    assert (chamfer(x, x) == 0).all()


def test_half_precision_is_computed_in_float32():
    x, y = boxes(2, 40, 0).bfloat16(), boxes(2, 40, 1).bfloat16()
    assert chamfer(x, y).dtype == torch.float32
    torch.testing.assert_close(chamfer(x, y), plain_chamfer(x.float(), y.float()))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(chamfer(x.float(), y.float()), plain_chamfer(x.float(), y.float()))


def test_emd_against_all_bijections():
    x, y = boxes(3, 6, 0, torch.float64), boxes(3, 6, 1, torch.float64)
    distance = torch.cdist(x, y)
    every = torch.tensor(list(itertools.permutations(range(6))))
    costs = distance[:, torch.arange(6), every].mean(-1)
    torch.testing.assert_close(emd(x, y), costs.amin(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(pairwise_emd(x, y, progress=False).diagonal(), costs.amin(1), rtol=1e-12, atol=0)


def test_gradient_of_emd():
    x, y = boxes(2, 12, 0, torch.float64).requires_grad_(), boxes(2, 12, 1, torch.float64)
    assert torch.autograd.gradcheck(lambda x: emd(x, y), (x,))
    same = boxes(1, 12, 0).requires_grad_()
    emd(same, same.detach()).sum().backward()
    assert (same.grad == 0).all()


@pytest.mark.parametrize("points", [512, 700])
def test_duals_change_the_work_and_not_the_result(points):
    from scipy.optimize import linear_sum_assignment

    x, y = (boxes(1, points, seed, torch.float64)[0].numpy() for seed in (0, 1))
    cost = np.linalg.norm(x[:, None] - y, axis=-1)
    u, v = dual_potentials(cost)
    plain = cost[linear_sum_assignment(cost)].mean()
    assert (u[:, None] + v <= cost + 1e-12).all() and 0.7 * plain < u.mean() + v.mean() <= plain
    value, exact = assignment_cost(x, y)
    assert exact and value == pytest.approx(plain, rel=1e-12)
    assert sorted(optimal_partners(x, y)) == list(range(points))
    bound, exact = assignment_cost(x, y, at_most=0.5 * plain)
    assert not exact and 0.5 * plain < bound <= plain
    assert assignment_cost(x, y, at_most=plain) == (value, True)
    assert assignment_cost(x, x) == (0.0, True)


def test_lower_bounds_are_below_the_distance():
    x, y = boxes(8, 60, 0, torch.float64), boxes(6, 60, 1, torch.float64)
    exact = pairwise_emd(x, y, progress=False)
    nearest_bound, sliced = pairwise_nearest(x, y).emd_bound, sliced_bound(x, y)
    of_means = torch.cdist(x.mean(1), y.mean(1))
    assert (nearest_bound <= exact).all() and (sliced <= exact + 1e-12).all()
    assert (sliced >= of_means - 1e-12).all()
    assert (torch.maximum(nearest_bound, sliced) / exact).mean() > 0.8


def test_sliced_bound_is_exact_for_a_shift():
    x = boxes(2, 30, 0, torch.float64)
    shift = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    torch.testing.assert_close(sliced_bound(x, x + shift).diagonal(), shift.norm().expand(2))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(2, 5), torch.zeros(2, 5, 3), r"first batch.*\(2, 5\).*\(clouds, points, 3\)"),
        (torch.zeros(2, 5, 3), torch.zeros(2, 5, 2), r"second batch.*\(2, 5, 2\)"),
        (torch.zeros(2, 0, 3), torch.zeros(2, 5, 3), r"\(2, 0, 3\)"),
        (torch.zeros(2, 5, 3), torch.zeros(3, 5, 3), "different lengths: 2 and 3"),
        (torch.zeros(2, 5, 3, dtype=torch.int64), torch.zeros(2, 5, 3), "int64, expected floating point"),
        (torch.zeros(2, 5, 3), torch.zeros(2, 5, 3, device="meta"), "different devices: cpu and meta"),
    ],
)
def test_wrong_batches(x, y, message):
    for distance in (chamfer, emd):
        with pytest.raises(ValueError, match=message):
            distance(x, y)


def test_wrong_sizes_and_values():
    x = boxes(2, 5, 0)
    with pytest.raises(ValueError, match="equal size, got 5 and 6"):
        emd(x, boxes(2, 6, 0))
    with pytest.raises(ValueError, match="equal size, got 5 and 6"):
        pairwise_emd(x, boxes(2, 6, 0))
    for pairwise in (pairwise_emd, pairwise_chamfer):
        with pytest.raises(ValueError, match="symmetric"):
            pairwise(x, x + 1, symmetric=True)
    broken = x.clone()
    broken[1, 2, 0] = torch.inf
    for call in (lambda: emd(x, broken), lambda: pairwise_emd(x, broken), lambda: pairwise_chamfer(x, broken)):
        with pytest.raises(ValueError, match="second batch of clouds: cloud 1 has NaN or infinite"):
            call()
    assert not torch.isfinite(chamfer(x, broken)[1]) and torch.isfinite(chamfer(x, broken)[0])


def test_empty_batches():
    none = torch.zeros(0, 5, 3)
    assert chamfer(none, none).shape == emd(none, none).shape == (0,)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_agrees():
    x, y = boxes(5, 300, 0), boxes(5, 300, 1)
    torch.testing.assert_close(chamfer(x.cuda(), y.cuda()).cpu(), chamfer(x, y), rtol=1e-5, atol=0)
    ours = pairwise_chamfer(x.cuda(), y.cuda(), progress=False).cpu()
    torch.testing.assert_close(ours, pairwise_chamfer(x, y, progress=False), rtol=1e-5, atol=0)
    torch.testing.assert_close(emd(x.cuda(), y.cuda()).cpu(), emd(x, y), rtol=1e-5, atol=0)

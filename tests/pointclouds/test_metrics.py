from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from flowsuite.pointclouds.metrics import (
    SCALES,
    GenerationMetrics,
    Spread,
    coverage,
    evaluate_generation,
    evaluate_generations,
    metrics_from_distances,
    minimum_matching_distance,
    minimum_matching_distance_of_samples,
    one_nearest_neighbour,
)
from flowsuite.pointclouds.occupancy import divergence, grid_centres, jensen_shannon, occupancy
from tests.pointclouds.clouds_made import boxes

CROSS = torch.tensor([[1.0, 5, 9], [2, 4, 8], [3, 6, 7]])


def test_figures_by_hand():
    assert minimum_matching_distance(CROSS) == pytest.approx((1 + 4 + 7) / 3)
    assert minimum_matching_distance_of_samples(CROSS) == pytest.approx((1 + 2 + 3) / 3)
    assert coverage(CROSS.argmin(1), 3) == pytest.approx(1 / 3)
    # neighbours of two generated clouds and three references: right, wrong, wrong, right, right
    figures = one_nearest_neighbour(torch.tensor([1, 4, 0, 3, 2]), 2)
    assert figures == pytest.approx({"acc": 0.6, "acc_t": 2 / 3, "acc_f": 0.5})


def test_far_and_equal_sets():
    a = boxes(8, 30, 0)
    far = metrics_from_distances("CD", torch.zeros(3, 3), torch.ones(3, 3), torch.zeros(3, 3))
    assert far["1-NNA-CD"] == 1.0 and far["COV-CD"] == pytest.approx(1 / 3)
    same = evaluate_generation(a, a.clone(), progress=False)
    for distance in ("CD", "EMD"):
        assert same[f"MMD-{distance}"] == 0 and same[f"COV-{distance}"] == 1 and same[f"1-NNA-{distance}"] == 0
    assert same["JSD"] == pytest.approx(0, abs=1e-12)
    assert set(same) == set(SCALES)


def test_metrics_are_chosen_and_arrays_accepted():
    a, b = boxes(4, 20, 0).numpy(), boxes(4, 30, 1).numpy()
    assert set(evaluate_generation(a, b, ["jsd"], progress=False)) == {"JSD"}
    assert all("EMD" not in name for name in evaluate_generation(a, b, ["cd", "jsd"], progress=False))
    alone, both = (evaluate_generation(a, a[::-1].copy() + 0.01, m, progress=False) for m in (["emd"], ["cd", "emd"]))
    assert alone.items() <= both.items() and len(both) == 2 * len(alone)


def test_spread_over_sets_and_cached_references():
    reference, sets = boxes(6, 25, 0), [boxes(6, 25, seed) for seed in (1, 2, 3)]
    figures = evaluate_generations(sets, reference, progress=False)
    single = [evaluate_generation(s, reference, progress=False) for s in sets]
    for name, spread in figures.items():
        values = [figure[name] for figure in single]
        assert spread.values == pytest.approx(values)
        assert spread.mean == pytest.approx(np.mean(values)) and spread.sd == pytest.approx(np.std(values, ddof=1))
    assert math.isnan(Spread.of([1.0]).sd)
    evaluator = GenerationMetrics(reference, progress=False)
    first, again = evaluator.evaluate(sets[0]), evaluator.evaluate(sets[0])
    assert first == again == single[0]


def nearest_centres(points: torch.Tensor, resolution: int) -> torch.Tensor:
    """Occupancy by comparing with every centre."""
    centres = torch.from_numpy(grid_centres(resolution)[0]).double()
    index = torch.cdist(points.reshape(-1, 3).double(), centres).argmin(1)
    return torch.bincount(index, minlength=len(centres))


@pytest.mark.parametrize("resolution", [2, 3, 10, 13])
def test_occupancy_against_all_centres(resolution):
    generator = torch.Generator().manual_seed(0)
    clouds = torch.rand(3, 500, 3, generator=generator, dtype=torch.float64) * 1.6 - 0.8
    if resolution == 2:
        clouds = clouds * 0 + 0.3
        with pytest.raises(ValueError, match="no cell"):
            occupancy(clouds, resolution)
        return
    counts = occupancy(clouds, resolution)
    assert torch.equal(counts, nearest_centres(clouds, resolution)) and counts.sum() == 1500


def test_occupancy_in_parts(monkeypatch):
    from flowsuite.pointclouds import occupancy as module

    clouds = boxes(5, 100, 0)
    whole = occupancy(clouds)
    monkeypatch.setattr(module, "POINTS", 64)
    assert torch.equal(occupancy(clouds), whole)


def test_divergence_of_counts():
    a, b = torch.tensor([2, 2, 0, 0]), torch.tensor([0, 0, 1, 3])
    assert divergence(a, b) == pytest.approx(1.0) and divergence(a, 5 * a) == pytest.approx(0.0)
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    m = (p + q) / 2
    expected = 0.5 * (p * np.log2(p / m)).sum() + 0.5 * (q * np.log2(q / m)).sum()
    assert divergence(torch.tensor([1, 1]), torch.tensor([1, 3])) == pytest.approx(expected)


def test_wrong_input():
    good = boxes(4, 10, 0)
    broken = good.clone()
    broken[2, 1, 1] = torch.nan
    wrong = [
        ((broken, good), "generated clouds: cloud 2 has NaN or infinite coordinates"),
        ((good, broken), "reference clouds: cloud 2 has NaN"),
        ((good[:3], good), "generated clouds: 3 clouds against 4 references"),
        ((good[:1], good[:1]), "reference clouds: got 1 clouds, expected at least 2"),
        ((good[0], good), r"generated clouds: got shape \(10, 3\), expected \(clouds, points, 3\)"),
        ((good.long(), good), "int64, expected floating point"),
        ((good.numpy().astype(str), good), "expected floating point"),
        ((None, good), "got NoneType"),
        ((boxes(4, 11, 0), good), "equal size, got 11 and 10"),
        ((good, good, ["fid"]), "unknown metric 'fid'"),
        ((good, good, []), "no metric"),
    ]
    for arguments, message in wrong:
        with pytest.raises(ValueError, match=message) as caught:
            evaluate_generation(*arguments, progress=False)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no generated set"):
        evaluate_generations([], good)
    with pytest.raises(ValueError, match="generated set 2: cloud 2"):
        evaluate_generations([good, broken], good, ["jsd"])
    with pytest.raises(ValueError, match=r"expected \(G, G\), \(G, R\), \(R, R\)"):
        metrics_from_distances("CD", CROSS, CROSS, CROSS[:2])
    with pytest.raises(ValueError, match="at least 2"):
        jensen_shannon(good, good, resolution=1)

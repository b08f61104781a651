"""The toy samplers beside the published generators in plain NumPy, and the log-densities beside the samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare
from sklearn.datasets import make_circles, make_moons, make_swiss_roll

from flowsuite.core.data import TOYS, sample_toy, toy_entropy, toy_log_density, truth

N = 40_000


def published(name: str, rng: np.random.RandomState) -> np.ndarray:
    """The generators of the sheet's section 6.1, point by point where they were loops."""
    if name == "swissroll":
        return make_swiss_roll(N, noise=1.0, random_state=rng)[0][:, [0, 2]] / 5
    if name == "circles":
        return make_circles(N, factor=0.5, noise=0.08, random_state=rng)[0] * 3
    if name == "moons":
        return make_moons(N, noise=0.1, random_state=rng)[0] * 2 + np.array([-1, -0.2])
    if name == "rings":
        angle = np.linspace(0, 2 * math.pi, N // 4, endpoint=False)
        circle = np.stack([np.cos(angle), np.sin(angle)], 1)
        return np.concatenate([3 * r * circle for r in (1, 0.75, 0.5, 0.25)]) + 0.08 * rng.randn(N, 2)
    if name == "8gaussians":
        s = 1 / math.sqrt(2)
        centres = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (s, s), (s, -s), (-s, s), (-s, -s)]) * 4
        return (0.5 * rng.randn(N, 2) + centres[rng.randint(8, size=N)]) / 1.414
    if name == "pinwheel":
        features = rng.randn(N, 2) * [0.3, 0.1] + [1, 0]
        angles = np.linspace(0, 2 * math.pi, 6)[:-1][rng.randint(5, size=N)] + 0.25 * np.exp(features[:, 0])
        turns = np.array([[[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]] for a in angles])
        return 2 * np.einsum("ti,tij->tj", features, turns)
    if name == "2spirals":
        n = np.sqrt(rng.rand(N // 2, 1)) * 540 * 2 * math.pi / 360
        half = np.hstack([-np.cos(n) * n + 0.5 * rng.rand(N // 2, 1), np.sin(n) * n + 0.5 * rng.rand(N // 2, 1)])
        return np.vstack([half, -half]) / 3 + 0.1 * rng.randn(N, 2)
    x = rng.rand(N)
    if name == "checkerboard":
        x = 4 * x - 2
        return 2 * np.stack([x, rng.rand(N) - 2 * rng.randint(0, 2, N) + np.floor(x) % 2], 1)
    x = 5 * x - 2.5
    return np.stack([x, x if name == "line" else 2.5 * np.sin(x)], 1)


def counts(points: np.ndarray, bins: int = 20) -> np.ndarray:
    edges = np.linspace(-5, 5, bins + 1)
    return np.histogram2d(points[:, 0], points[:, 1], bins=(edges, edges))[0].ravel()


@pytest.mark.parametrize("name", TOYS)
def test_same_distribution_as_the_published_generator(name):
    points = sample_toy(name, N, 1)
    assert points.shape == (N, 2) and points.dtype == torch.float32
    table = np.stack([counts(points.numpy()), counts(published(name, np.random.RandomState(0)))])
    assert table.sum(1).min() > 0.999 * N
    table = table[:, table.sum(0) > 20]
    assert chi2_contingency(table).pvalue > 1e-3


def test_a_shifted_density_would_be_noticed():
    table = np.stack([counts(sample_toy("rings", N, 1).numpy() + 0.05), counts(sample_toy("rings", N, 2).numpy())])
    assert chi2_contingency(table[:, table.sum(0) > 20]).pvalue < 1e-6


def cells(name: str, bins: int, fine: int) -> np.ndarray:
    """Probabilities of the bins of [-5, 5]^2, from the density on a grid of `fine` points a bin and axis."""
    axis = (torch.arange(bins * fine, dtype=torch.float64) + 0.5) / (bins * fine) * 10 - 5
    grid = torch.cartesian_prod(axis, axis)
    mass = toy_log_density(name, grid).exp().view(bins, fine, bins, fine).sum((1, 3)) * (axis[1] - axis[0]) ** 2
    return mass.flatten().numpy()


@pytest.mark.parametrize("name", truth.DENSITIES)
def test_density_integrates_to_one_and_fits_the_samples(name):
    bins = 20
    probability = cells(name, bins, 10)
    assert abs(probability.sum() - 1) < 1e-4
    edges = np.linspace(-5, 5, bins + 1)
    points = sample_toy(name, 100_000, 3).numpy()
    seen = np.histogram2d(points[:, 0], points[:, 1], bins=(edges, edges))[0].ravel()
    big = probability > 2e-4
    expected = np.append(probability[big], 1 - probability[big].sum()) * len(points)
    observed = np.append(seen[big], len(points) - seen[big].sum())
    keep = expected > 5
    observed, expected = observed[keep], expected[keep]
    assert chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("name", ["moons", "swissroll", "2spirals"])
def test_quadrature_has_converged(name, monkeypatch):
    x = torch.cat([sample_toy(name, 200, 5), 4 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))])
    density, quadrature = toy_log_density(name, x), truth.quadrature
    monkeypatch.setattr(truth, "quadrature", lambda start, end, n: quadrature(start, end, 2 * n + 1))
    finer = toy_log_density(name, x)
    assert density.isfinite().all() and torch.allclose(density, finer, rtol=1e-8, atol=1e-8)
    assert toy_log_density(name, torch.tensor([[40.0, -60.0]])).isfinite().all()


def test_smooth_box_is_accurate_far_from_the_box():
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    found = truth.log_smooth_box(x, 1 / 6, 0.1)
    high, low = x / 0.1, (x - 1 / 6) / 0.1
    high, low = torch.where(high + low > 0, -low, high), torch.where(high + low > 0, -high, low)
    above, below = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    expected = above + torch.log1p(-(below - above).exp()) + math.log(6)
    assert torch.allclose(found, expected, rtol=1e-8, atol=1e-8)


def test_entropy():
    assert toy_entropy("checkerboard", 100) == (pytest.approx(math.log(32)), 0.0)
    entropy, error = toy_entropy("8gaussians", 50_000)
    separate = math.log(8) + math.log(2 * math.pi * math.e * (0.5 / 1.414) ** 2)  # of components that do not overlap
    assert 0 < error < 0.01 and separate - 0.15 < entropy < separate + 3 * error


def test_draws_follow_the_generator():
    assert torch.equal(sample_toy("moons", 5, 3), sample_toy("moons", 5, torch.Generator().manual_seed(3)))
    assert not torch.equal(sample_toy("moons", 5, 3), sample_toy("moons", 5, 4))
    torch.manual_seed(3)
    assert torch.equal(sample_toy("moons", 5), sample_toy("moons", 5, 3))
    assert sample_toy("rings", 0).shape == (0, 2)


def test_wrong_names_and_shapes():
    with pytest.raises(ValueError, match=r"unknown toy density 'spiral'.*2spirals"):
        sample_toy("spiral", 3)
    with pytest.raises(ValueError, match="not known: expected one of"):
        toy_log_density("cos", torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"\(N, 2\), got \(3,\)"):
        toy_log_density("rings", torch.zeros(3))
    with pytest.raises(ValueError, match=">= 0"):
        sample_toy("rings", -1)

"""Effective sample size and Pareto k where the answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

from flowsuite.core.variational import effective_sample_size, pareto_k
from flowsuite.core.variational.diagnostics import generalized_pareto_shape


def test_effective_sample_size():
    assert effective_sample_size(torch.full((10,), -1e4)) == pytest.approx(1)
    assert effective_sample_size(torch.tensor([0.0, -1e5, -1e5, -1e5])) == pytest.approx(0.25)
    w = torch.rand(100)
    assert effective_sample_size(w.log()) == pytest.approx(float(w.sum() ** 2 / (100 * w.square().sum())), rel=1e-5)
    with pytest.raises(ValueError, match=r"\(n,\)"):
        effective_sample_size(torch.zeros(2, 3))


@pytest.mark.parametrize("k", [-0.3, 0.2, 0.7, 1.5])
def test_shape_of_a_generalized_pareto(k):
    u = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    x = 2.0 * ((1 - u) ** -k - 1) / k
    assert generalized_pareto_shape(x) == pytest.approx(k, abs=0.05)


@pytest.mark.parametrize("ratio", [0.5, 0.8, 1.25, 2.0])
def test_k_of_a_normal_proposal(ratio):
    """q = N(0, s^2) for p = N(0, 1): the ratio's tail has k = 1 - s^2 for s < 1 and is bounded for s > 1."""
    torch.manual_seed(0)
    z = ratio * torch.randn(200_000, dtype=torch.float64)
    log_w = Normal(0.0, 1.0).log_prob(z) - Normal(0.0, ratio).log_prob(z)
    k = pareto_k(log_w)
    assert (k == pytest.approx(1 - ratio**2, abs=0.15)) if ratio < 1 else k < 0.1


def test_edges():
    assert math.isnan(pareto_k(torch.zeros(20)))
    assert pareto_k(torch.zeros(1000)) == -math.inf
    assert pareto_k(torch.randn(1000) - 1e6) < 2

"""Losses against their definitions."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from flowsuite.core.objective import kl_to_standard_normal, rnode_penalty


def test_kl_to_the_standard_normal():
    mean, log_var = torch.randn(2, 5, 3, dtype=torch.float64)
    zero = torch.zeros(3, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (0.5 * log_var).exp()), Normal(zero, zero + 1)).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_var), expected)
    torch.testing.assert_close(kl_to_standard_normal(mean), 0.5 * mean.square().sum(1))


def test_penalties_are_weighted_means():
    kinetic, jacobian = torch.tensor([1.0, 3.0]), torch.tensor([10.0, 30.0])
    penalties = {"kinetic": kinetic, "jacobian": jacobian}
    assert rnode_penalty(penalties, {"kinetic": 0.5, "jacobian": 0.1}) == 3.0
    assert rnode_penalty(penalties, {"jacobian": 0.1}) == 2.0

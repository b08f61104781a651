"""Every loss that the suite trains on, in one place."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowsuite.core.numerics import at_least_float32


def negative_log_likelihood(log_prob: Tensor) -> Tensor:
    """Mean negative log-likelihood of a batch, in nats: (B,) -> ()."""
    return -log_prob.mean()


def bits_per_dim(log_prob: Tensor, dims: int) -> Tensor:
    """`-log p / (D log 2)`, elementwise: nats of a discrete log-likelihood to bits per dimension."""
    return -log_prob / (dims * math.log(2))


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    """`logsumexp_k(log w_k) - log K` over the first axis (arXiv 1509.00519): (K, B) -> (B,), in nats."""
    return torch.logsumexp(log_weights, dim=0) - math.log(log_weights.shape[0])


def flow_matching_loss(velocity: Tensor, target: Tensor) -> Tensor:
    """Mean over examples and coordinates of `(v - u)^2` (arXiv 2210.02747), in float32 or better: (B, ...) -> ().

    The expected squared norm `E |v - u|^2` of the papers is D times this.
    """
    return (at_least_float32(velocity) - at_least_float32(target)).square().mean()

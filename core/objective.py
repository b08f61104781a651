"""Every loss that the suite trains on, in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping

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


def rnode_penalty(penalties: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """`sum_k w_k mean(R_k)`, what RNODE adds to the mean negative log-likelihood in nats (arXiv 2002.02798).

    Args:
        penalties: name -> (B,), `int |f|^2 dt` ("kinetic") and `int |df/dx|_F^2 dt` ("jacobian").
        weights: name -> w_k; 0.01 each as published.
    """
    return torch.stack([weight * penalties[name].mean() for name, weight in weights.items()]).sum()


def kl_to_standard_normal(mean: Tensor, log_var: Tensor | None = None) -> Tensor:
    """`KL(N(mean, diag exp log_var) || N(0, I)) = (|mean|^2 + sum(exp log_var - 1 - log_var)) / 2` in nats.

    (B, D) -> (B,). Without `log_var`, for a single point, the part `|mean|^2 / 2`: its divergence is infinite.
    """
    squares = mean.square()
    if log_var is not None:
        squares = squares + log_var.exp() - 1 - log_var
    return 0.5 * squares.sum(1)


def flow_matching_loss(velocity: Tensor, target: Tensor) -> Tensor:
    """Mean over examples and coordinates of `(v - u)^2` (arXiv 2210.02747), in float32 or better: (B, ...) -> ().

    The expected squared norm `E |v - u|^2` of the papers is D times this.
    """
    return (at_least_float32(velocity) - at_least_float32(target)).square().mean()

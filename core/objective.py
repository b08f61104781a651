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


def free_energy(log_q: Tensor, log_joint: Tensor, beta: float | Tensor = 1.0) -> Tensor:
    """`mean(log q(z) - beta log p(x, z))`, joint annealing: beta multiplies the WHOLE log joint (arXiv 1505.05770,
    eq. 20; published `beta_t = min(1, 0.01 + t / 10000)`). At beta = 1 it is the negative ELBO. In nats."""
    return (log_q - beta * log_joint).mean()


def warmed_up_elbo_loss(
    log_likelihood: Tensor, log_prior: Tensor, log_q: Tensor, beta: float | Tensor = 1.0, free_nats: float = 0.0
) -> Tensor:
    """`mean(-log p(x|z)) + beta mean(log q(z) - log p(z))`, KL annealing: beta multiplies the divergence alone
    (arXiv 1803.05649; published `beta = min(1, epoch / 100)`). At beta = 1 it is the negative ELBO. In nats.

    `free_nats` is a floor under the mean divergence, below which it is not pushed (arXiv 1606.04934, with one group).
    """
    divergence = (log_q - log_prior).mean()
    if free_nats:
        divergence = divergence.clamp_min(free_nats)
    return beta * divergence - log_likelihood.mean()


def variational_renyi_bound(log_weights: Tensor, alpha: float) -> Tensor:
    """`log mean_k w_k^(1 - alpha) / (1 - alpha)` over the first axis (arXiv 1602.02311): (K, B) -> (B,), in nats.

    alpha = 0 is the importance-weighted bound, alpha -> 1 the mean of `log w_k`, the ELBO.
    """
    if alpha == 1:
        return log_weights.mean(0)
    return importance_weighted_bound((1 - alpha) * log_weights) / (1 - alpha)


def forward_kl(log_q: Tensor, log_weights: Tensor | None = None) -> Tensor:
    """`KL(p || q)` up to the entropy of p: `-sum_k v_k log q(z_k)`, (K,) or (K, B) -> ().

    Without weights the z_k are samples of p and all `v_k = 1/K`. With `log_weights = log p(z) - log q(z)` they are
    samples of q (or of any proposal that the weights are relative to) and `v = softmax(log_weights)`, held constant.
    """
    if log_weights is None:
        return -log_q.mean()
    return -(torch.softmax(log_weights.detach(), 0) * log_q).sum(0).mean()


def doubly_reparameterized_loss(log_weights: Tensor, z: Tensor) -> Tensor:
    """The importance-weighted bound's negative, with the doubly reparameterised gradient (DReG, arXiv 1810.04152).

    The gradient with respect to the parameters of q is `-sum_k v_k^2 d log w_k / dz_k dz_k / dphi`, v the normalised
    weights; that of whatever else `log_weights` depends on, a decoder say, stays `-sum_k v_k d log w_k`.

    Args:
        log_weights: (K,) or (K, B), `log p(x, z_k) - log q(z_k)`, computed from `z` with the parameters of q stopped in
            `log q` (`flowsuite.core.variational.stopped_log_prob`).
        z: (K, ..., D), the reparameterised samples that `log_weights` were computed from. A hook is put on it.

    Returns:
        the mean negative bound in nats, ().
    """
    weights = torch.softmax(log_weights.detach(), 0)
    if z.requires_grad:
        z.register_hook(lambda gradient: weights.unsqueeze(-1) * gradient)
    surrogate = (weights * log_weights).sum(0).mean()
    bound = importance_weighted_bound(log_weights.detach()).mean()
    return surrogate.detach() - bound - surrogate

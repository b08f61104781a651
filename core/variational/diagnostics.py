"""How far a fitted posterior can be trusted: effective sample size and the tail of its importance ratios."""

from __future__ import annotations

import math

import torch
from torch import Tensor

GOOD_K = 0.7  # above, estimates from the importance ratios cannot be relied on (arXiv 1507.02646)


def effective_sample_size(log_weights: Tensor) -> float:
    """`(sum w)^2 / (n sum w^2)`, a share in (0, 1], from `log w` (n,)."""
    if log_weights.ndim != 1 or not len(log_weights):
        raise ValueError(f"expected log weights of shape (n,), got {tuple(log_weights.shape)}")
    log_weights = log_weights.double()
    top = 2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(2 * log_weights, 0)
    return float(torch.exp(top - math.log(len(log_weights))))


def pareto_k(log_weights: Tensor) -> float:
    """The shape k of the generalised Pareto distribution that fits the largest importance ratios (PSIS, arXiv
    1507.02646), from `log w` (n,).

    The tail is the largest `min(n / 5, 3 sqrt(n))` ratios. k < 0.5: the ratios have a finite variance; k < 0.7: they
    can be used; above, q misses mass of p (or has thinner tails), and the ELBO and the samples mislead.
    NaN for fewer than 25 ratios; -inf for a tail of equal ratios, which is what a perfect q gives.
    """
    n = log_weights.numel()
    size = min(n // 5, math.ceil(3 * math.sqrt(n)))
    if size < 5:
        return math.nan
    tail = log_weights.detach().double().flatten().topk(size + 1).values.flip(0)
    ratios = torch.exp(tail - tail[-1])
    excess = ratios[1:] - ratios[0]
    if float(excess[-1]) <= 0:
        return -math.inf
    k = generalized_pareto_shape(excess)
    return (size * k + 5) / (size + 10)  # a weak prior about 0.5, ten ratios' worth


def generalized_pareto_shape(x: Tensor) -> float:
    """Shape k of ascending positive `x` (M,), by the estimator of Zhang and Stephens (2009): a posterior mean over a
    grid of `theta = -k / sigma`."""
    size = len(x)
    points = 30 + int(math.sqrt(size))
    quartile = float(x[int(size / 4 + 0.5) - 1].clamp_min(torch.finfo(x.dtype).tiny))
    index = torch.arange(1, points + 1, dtype=x.dtype, device=x.device)
    theta = 1 / x[-1] + (1 - torch.sqrt(points / (index - 0.5))) / (3 * quartile)
    shapes = torch.log1p(-theta[:, None] * x).mean(1)
    profile = size * (torch.log(-theta / shapes) - shapes - 1)
    best = (torch.softmax(profile, 0) * theta).sum()
    return float(torch.log1p(-best * x).mean())

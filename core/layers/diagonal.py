"""The diagonal Gaussian that every posterior starts from, as a map of standard noise."""

from __future__ import annotations

import torch

from flowsuite.core.layers.amortized import AmortizedTransform

LOG_SCALE_LIMIT = 30.0  # exp(30) squared still fits into float32


class DiagonalAffine(AmortizedTransform):
    """`z = mean + exp(l) * eps`, `l` clamped to [-30, 30]; log-det `sum(l)`. N(0, I) becomes N(mean, diag(exp(2 l))).

    `forward` is the published direction, noise to sample (see `AmortizedTransform`).

    Args:
        dims: D.
        context_features: size C of a context (B, C) that mean and l are a linear map of; 0 to learn them, from 0.
    """

    def __init__(self, dims: int, context_features: int = 0):
        initial = {"mean": torch.zeros(dims), "log_scale": torch.zeros(dims)}
        super().__init__(dims, initial, context_features)

    def push(self, z, mean, log_scale):
        log_scale = log_scale.clamp(-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT)
        return torch.addcmul(mean, z, log_scale.exp()), log_scale.sum(-1).expand(z.shape[:-1])

    def pull(self, z, mean, log_scale):
        log_scale = log_scale.clamp(-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT)
        return (z - mean) * (-log_scale).exp(), -log_scale.sum(-1).expand(z.shape[:-1])

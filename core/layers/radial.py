"""Radial flows with their closed inverse."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.layers.amortized import AmortizedTransform, layers_of

SOFTPLUS_ONE = math.log(math.expm1(1.0))  # softplus of this is 1


class Radial(AmortizedTransform):
    """K radial layers, one after another (arXiv 1505.05770, eq. 14 and appendix A.2):

        z_k = z + beta (z - z_0) / (alpha + r),  r = |z - z_0|
        log|det| = (D - 1) log1p(beta / (alpha + r)) + log1p(alpha beta / (alpha + r)^2)
        alpha = softplus(raw_alpha) > 0,  beta = -alpha + softplus(raw_beta) > -alpha

    `forward` is the published direction, noise to sample (see `AmortizedTransform`). Along the ray from `z_0` a layer
    takes r to `r' = r (1 + beta / (alpha + r))`, so the inverse is the positive root of
    `r^2 + (alpha + beta - r') r - alpha r' = 0`, in the form that does not cancel.

    Args:
        dims: D.
        n_layers: K.
        context_features: size C of a context (B, C) that all parameters are a linear map of; 0 to learn them.

    Parameters: `centre` (K, D), started from N(0, I); `raw_alpha`, `raw_beta` (K,), started within 1/D of alpha = 1,
    beta = 0.
    """

    def __init__(self, dims: int, n_layers: int = 1, context_features: int = 0):
        if dims < 1 or n_layers < 1:
            raise ValueError(f"dims and n_layers must be at least 1, got {dims} and {n_layers}")
        initial = {
            "centre": torch.randn(n_layers, dims),
            "raw_alpha": SOFTPLUS_ONE + (2 * torch.rand(n_layers) - 1) / dims,
            "raw_beta": SOFTPLUS_ONE + (2 * torch.rand(n_layers) - 1) / dims,
        }
        super().__init__(dims, initial, context_features)
        self.n_layers = n_layers

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, n_layers={self.n_layers}"

    def push(self, z, centre, raw_alpha, raw_beta):
        alpha, beta = constrained(raw_alpha, raw_beta)
        radii = []
        for centre_k, alpha_k, beta_k in layers_of(centre, alpha, beta):
            difference = z - centre_k
            r = length(difference)
            z = torch.addcmul(z, difference, (beta_k / (alpha_k + r)).unsqueeze(-1))
            radii.append(r)
        return z, self.log_det(alpha, beta, torch.stack(radii, -1))

    def pull(self, z, centre, raw_alpha, raw_beta):
        alpha, beta = constrained(raw_alpha, raw_beta)
        radii = []
        for centre_k, alpha_k, beta_k in reversed(layers_of(centre, alpha, beta)):
            difference = z - centre_k
            r = inner_radius(alpha_k, beta_k, length(difference))
            z = centre_k + difference / (1 + beta_k / (alpha_k + r)).unsqueeze(-1)
            radii.append(r)
        return z, -self.log_det(alpha, beta, torch.stack(radii[::-1], -1))

    def log_det(self, alpha: Tensor, beta: Tensor, r: Tensor) -> Tensor:
        """(1 or B, K), (1 or B, K) and (..., B, K) -> (..., B)."""
        sideways, along = beta / (alpha + r), alpha * beta / (alpha + r).square()
        return ((self.dims - 1) * torch.log1p(sideways) + torch.log1p(along)).sum(-1)


def constrained(raw_alpha: Tensor, raw_beta: Tensor) -> tuple[Tensor, Tensor]:
    """`(alpha, beta)`; alpha + beta stays a few rounding errors of alpha away from 0, where the layer is singular."""
    eps = torch.finfo(raw_alpha.dtype).eps
    alpha = F.softplus(raw_alpha).clamp_min(eps)
    return alpha, torch.maximum(F.softplus(raw_beta), 8 * eps * alpha) - alpha


def length(x: Tensor) -> Tensor:
    """`|x|` of every row, gradient 0 at 0; torch 2.12 cannot compile the norm over an axis of size 1."""
    return x.squeeze(-1).abs() if x.shape[-1] == 1 else torch.linalg.vector_norm(x, dim=-1)


def inner_radius(alpha: Tensor, beta: Tensor, outer: Tensor) -> Tensor:
    """The positive root r of `r^2 + p r - alpha r' = 0`, `p = alpha + beta - r'`."""
    p, q = alpha + beta - outer, alpha * outer
    tiny = torch.finfo(outer.dtype).tiny
    root = (p.square() + 4 * q).clamp_min(tiny).sqrt()
    total = p.abs() + root
    return torch.where(p > 0, 2 * q / total, total / 2)

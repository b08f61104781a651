"""Planar flows, invertible in both directions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.layers.amortized import AmortizedTransform, add_multiple, dot, layers_of
from flowsuite.core.layers.tanh_root import sech2, solve_tanh

SOFTPLUS_ONE = math.log(math.expm1(1.0))  # softplus of this is 1
MIN_SQUARED = 1e-2  # of |w| in the initial u


class Planar(AmortizedTransform):
    """K planar layers, one after another (arXiv 1505.05770, eq. 10 and appendix A.1):

        z_k = z_{k-1} + u^ h(t),  t = w . z_{k-1} + b,  log|det| = sum_k log1p(m h'(t))
        u^ = u + (m - w.u) w / |w|^2,  m = w.u^ = -1 + softplus(w.u) > -1

    `forward` is the published direction, noise to sample (see `AmortizedTransform`). The inverse finds one scalar per
    row and layer: `t + m h(t) = w . z_k + b` has a single root, in closed form for the leaky ReLU and by Newton's
    method for tanh (`solve_tanh`), and then `z_{k-1} = z_k - u^ h(t)`.

    What depends on parameters alone is computed for all layers at once, so is the log-det; per layer remain one dot
    product, one activation and one addition.

    Args:
        dims: D.
        n_layers: K.
        activation: "tanh" or "leaky_relu".
        negative_slope: of the leaky ReLU, in (0, 1).
        context_features: size C of a context (B, C) that u, w and b are a linear map of; 0 to learn them.

    Parameters: `u`, `w` (K, D) and `b` (K,). w starts from `U(-sqrt(2/D), sqrt(2/D))` as in normflows, b at 0, and u
    near `log(e - 1) w / |w|^2`, where m and `u^` are 0: the flow starts near the identity. (normflows draws u from
    `U(-sqrt(2), sqrt(2))`, which bends a start that may be nearly right.)
    """

    def __init__(
        self,
        dims: int,
        n_layers: int = 1,
        activation: str = "tanh",
        negative_slope: float = 0.2,
        context_features: int = 0,
    ):
        if activation not in ("tanh", "leaky_relu"):
            raise ValueError(f'activation must be "tanh" or "leaky_relu", got {activation!r}')
        if not 0 < negative_slope < 1:
            raise ValueError(f"negative_slope must be between 0 and 1, got {negative_slope}")
        if dims < 1 or n_layers < 1:
            raise ValueError(f"dims and n_layers must be at least 1, got {dims} and {n_layers}")
        w = math.sqrt(2 / dims) * (2 * torch.rand(n_layers, dims) - 1)
        along = SOFTPLUS_ONE * w / w.square().sum(-1, keepdim=True).clamp_min(MIN_SQUARED)
        initial = {"u": along + 0.1 * torch.randn(n_layers, dims), "w": w, "b": torch.zeros(n_layers)}
        super().__init__(dims, initial, context_features)
        self.n_layers, self.activation, self.negative_slope = n_layers, activation, negative_slope

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, n_layers={self.n_layers}, activation={self.activation!r}"

    def h(self, t: Tensor) -> Tensor:
        return torch.tanh(t) if self.activation == "tanh" else F.leaky_relu(t, self.negative_slope)

    def slope(self, t: Tensor) -> Tensor:
        """`h'(t)`."""
        return sech2(t) if self.activation == "tanh" else 1 - (1 - self.negative_slope) * (t < 0).to(t.dtype)

    def solve(self, m: Tensor, s: Tensor) -> Tensor:
        """The root `t` of `t + m h(t) = s`."""
        return solve_tanh(m, s) if self.activation == "tanh" else s / (1 + m * self.slope(s))

    def push(self, z, u, w, b):
        u, m = constrained(u, w)
        ts = []
        for u_k, w_k, b_k in layers_of(u, w, b):
            t = dot(z, w_k) + b_k
            z = add_multiple(z, self.h(t), u_k)
            ts.append(t)
        return z, self.log_det(m, torch.stack(ts, -1))

    def pull(self, z, u, w, b):
        u, m = constrained(u, w)
        ts = []
        for u_k, w_k, b_k, m_k in reversed(layers_of(u, w, b, m)):
            t = self.solve(m_k, dot(z, w_k) + b_k)
            z = add_multiple(z, self.h(t), u_k, -1)
            ts.append(t)
        return z, -self.log_det(m, torch.stack(ts[::-1], -1))

    def log_det(self, m: Tensor, t: Tensor) -> Tensor:
        """`sum_k log1p(m_k h'(t_k))`: (1 or B, K) and (..., B, K) -> (..., B)."""
        return torch.log1p(m * self.slope(t)).sum(-1)


def constrained(u: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """`(u^, m)`: u with its part along w moved such that `w.u^ = m = -1 + softplus(w.u)`, (..., D) to both."""
    product = (w * u).sum(-1)
    # Below a few rounding errors of 1, 1 + m would be lost and the layer singular.
    m = F.softplus(product).clamp_min(8 * torch.finfo(product.dtype).eps) - 1
    squared = w.square().sum(-1).clamp_min(torch.finfo(w.dtype).tiny)
    return u + ((m - product) / squared).unsqueeze(-1) * w, m

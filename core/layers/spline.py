"""Monotone rational-quadratic splines as element-wise maps."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.layers.elementwise import ElementwiseMap


class _Bin(NamedTuple):
    """The bin that each element falls in: its lower left corner, size, and derivatives at both ends."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    right: Tensor

    @property
    def slope(self) -> Tensor:
        return self.height / self.width

    def curvature(self) -> Tensor:
        """`d_k + d_{k+1} - 2 s`."""
        return self.left + self.right - 2 * self.slope


class RationalQuadraticSpline(ElementwiseMap):
    """Rational-quadratic spline on [-B, B], the identity outside (neural spline flows, arXiv 1906.04032, section 3.1).

    `params[..., :K]` are the logits of the bin widths, the next K those of the heights, the last K - 1 the raw
    derivatives at the inner knots; the derivative at -B and B is 1. In bin k, with `t = (x - x_k) / w_k`,
    `s = h_k / w_k` and `c = d_k + d_{k+1} - 2s`:

        y = y_k + h_k (s t^2 + d_k t (1 - t)) / (s + c t (1 - t))
        log dy/dx = 2 log s + log(d_{k+1} t^2 + 2 s t (1 - t) + d_k (1 - t)^2) - 2 log(s + c t (1 - t))

    The inverse solves the quadratic equation in `t` by whichever form of the root does not cancel. All elements are
    evaluated, those outside at the edge, and the tails are then put in place: shapes never depend on the data.

    Args:
        num_bins: K.
        tail_bound: B.
        min_bin_width, min_bin_height: least share of [-B, B] that a bin takes in x and in y.
        min_derivative: least derivative at an inner knot.
        logit_divisor: divides the width and height logits, `sqrt(hidden units)` behind a network.
        identity_at_zero: shift the raw derivatives so that parameters of 0 give the identity; the published code does
            not, and starts from derivatives `softplus(0) + min_derivative`.
    """

    def __init__(
        self,
        num_bins: int = 8,
        tail_bound: float = 3.0,
        min_bin_width: float = 1e-3,
        min_bin_height: float = 1e-3,
        min_derivative: float = 1e-3,
        logit_divisor: float = 1.0,
        identity_at_zero: bool = False,
    ):
        super().__init__()
        if num_bins < 1:
            raise ValueError(f"num_bins must be at least 1, got {num_bins}")
        for name, value in (("tail_bound", tail_bound), ("logit_divisor", logit_divisor)):
            if value <= 0:
                raise ValueError(f"{name} must be positive, got {value}")
        for name, value in (("min_bin_width", min_bin_width), ("min_bin_height", min_bin_height)):
            if not 0 < value * num_bins < 1:
                raise ValueError(f"{name} must be between 0 and 1/num_bins = {1 / num_bins:.3g}, got {value}")
        if not 0 < min_derivative < 1:
            raise ValueError(f"min_derivative must be between 0 and 1, got {min_derivative}")
        self.num_bins, self.tail_bound, self.logit_divisor = num_bins, tail_bound, logit_divisor
        self.min_bin_width, self.min_bin_height, self.min_derivative = min_bin_width, min_bin_height, min_derivative
        self.derivative_offset = math.log(math.expm1(1 - min_derivative)) if identity_at_zero else 0.0
        self.n_params = 3 * num_bins - 1

    def extra_repr(self) -> str:
        return f"num_bins={self.num_bins}, tail_bound={self.tail_bound}"

    def _knots(self, logits: Tensor, least: float) -> Tensor:
        """Positions (..., K + 1) of the knots, the outer ones exactly at -B and B."""
        shares = least + (1 - least * self.num_bins) * F.softmax(logits / self.logit_divisor, dim=-1)
        inner = self.tail_bound * (2 * shares[..., :-1].cumsum(-1) - 1)
        return F.pad(F.pad(inner, (1, 0), value=-self.tail_bound), (0, 1), value=self.tail_bound)

    def _locate(self, v: Tensor, params: Tensor, inverse: bool) -> _Bin:
        """The bin of every `v`, found among the heights if `inverse`, else among the widths."""
        if params.shape[-1] != self.n_params:
            raise ValueError(
                f"a spline of {self.num_bins} bins needs {self.n_params} parameters an element, got {params.shape[-1]}"
            )
        k = self.num_bins
        xs = self._knots(params[..., :k], self.min_bin_width)
        ys = self._knots(params[..., k : 2 * k], self.min_bin_height)
        inner = self.min_derivative + F.softplus(params[..., 2 * k :] + self.derivative_offset)
        derivatives = F.pad(inner, (1, 1), value=1.0)
        index = (v.unsqueeze(-1) >= (ys if inverse else xs)[..., 1:-1]).sum(-1, keepdim=True)
        ends = torch.cat((index, index + 1), dim=-1)
        (x0, x1), (y0, y1), (left, right) = (
            t.expand(*ends.shape[:-1], -1).gather(-1, ends).unbind(-1) for t in (xs, ys, derivatives)
        )
        return _Bin(x0, y0, x1 - x0, y1 - y0, left, right)

    def _log_derivative(self, at: _Bin, t: Tensor) -> Tensor:
        s, both = at.slope, t * (1 - t)
        numerator = at.right * t.square() + 2 * s * both + at.left * (1 - t).square()
        return 2 * torch.log(s) + torch.log(numerator) - 2 * torch.log(s + at.curvature() * both)

    def _with_tails(self, v: Tensor, mapped: Tensor, log_derivative: Tensor) -> tuple[Tensor, Tensor]:
        inside = v.abs() <= self.tail_bound
        return torch.where(inside, mapped, v), log_derivative * inside

    def forward(self, x, params):
        clamped = x.clamp(-self.tail_bound, self.tail_bound)
        at = self._locate(clamped, params, inverse=False)
        t = (clamped - at.x) / at.width
        both = t * (1 - t)
        y = at.y + at.height * (at.slope * t.square() + at.left * both) / (at.slope + at.curvature() * both)
        return self._with_tails(x, y, self._log_derivative(at, t))

    def inverse(self, y, params):
        clamped = y.clamp(-self.tail_bound, self.tail_bound)
        at = self._locate(clamped, params, inverse=True)
        rise, c = clamped - at.y, at.curvature()
        a = at.height * (at.slope - at.left) + rise * c
        b = at.height * at.left - rise * c
        discriminant = (b.square() + 4 * a * at.slope * rise).clamp_min(torch.finfo(y.dtype).tiny)
        # a t^2 + b t - s * rise = 0: b < 0 happens only where a > 0, and there the textbook root does not cancel.
        large = b.abs() + discriminant.sqrt()
        t = torch.where(b < 0, large / (2 * torch.where(b < 0, a, 1.0)), 2 * at.slope * rise / large)
        return self._with_tails(y, at.x + t * at.width, -self._log_derivative(at, t))

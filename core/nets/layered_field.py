"""Vector fields that are a chain of time-dependent linear maps and activations."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from flowsuite.core.nets.vector_field import VectorField, float32_sum

STACK = 64  # tangents that are pushed through at once


class LinearMap(Protocol):
    """A layer at one time, `y = (W x) * scale + shift`, with `scale` None for 1.

    `push` takes tangents with any one axis in front of the batch too.
    """

    scale: Tensor | None

    def apply(self, x: Tensor) -> Tensor: ...

    def push(self, v: Tensor) -> Tensor: ...

    def pull(self, v: Tensor) -> Tensor: ...


class LayeredField(VectorField):
    """`f = L_{k+1} act L_k ... act L_1 x` with affine `L_l(t; c)`: its Jacobian is

        J = S_{k+1} W_{k+1} D_k W_k ... D_1 W_1,    D_l = diag(act'(a_l) * s_l),

    so that J v, v'J and tr J are plain forward arithmetic: no autograd graph inside a solve.

    A subclass sets `activations` (k of them) and `residual` (subtract x), and defines `_maps` and `code_shape`.
    """

    activations: nn.ModuleList
    residual: bool = False

    def _maps(self, t: Tensor, x: Tensor, condition: Any) -> list[LinearMap]:
        """The layers at time `t`, to act on states of the shape of `x`."""
        raise NotImplementedError(f"{type(self).__name__} must define _maps(t, x, condition)")

    def code_shape(self, x: Tensor) -> tuple[int, ...]:
        """The shape of the middle hidden layer, counting `code_layer` from 0, for a state `x`."""
        raise NotImplementedError(f"{type(self).__name__} must define code_shape(x)")

    @property
    def code_layer(self) -> int:
        """The hidden layer where encoder and decoder meet."""
        if not len(self.activations):
            raise ValueError(f"a field without hidden layers has no bottleneck: {type(self).__name__}")
        return len(self.activations) // 2

    def forward(self, t, x, condition=None):
        h = x
        maps = self._maps(t, x, condition)
        for m, activation in zip(maps, self.activations, strict=False):
            h = activation(m.apply(h))
        return self._finish(maps[-1].apply(h), x)

    def _finish(self, f: Tensor, x: Tensor) -> Tensor:
        return f - x if self.residual else f

    def _run(self, t: Tensor, x: Tensor, condition: Any) -> tuple[Tensor, list[LinearMap], list[Tensor]]:
        """`(f, maps, d)` with `d_l` the diagonal of `D_l`."""
        maps = self._maps(t, x, condition)
        h, slopes = x, []
        for m, activation in zip(maps, self.activations, strict=False):
            h, slope = activation.with_slope(m.apply(h))
            slopes.append(slope if m.scale is None else slope * m.scale)
        return self._finish(maps[-1].apply(h), x), maps, slopes

    def jvp(self, t, x, v, condition=None):
        f, maps, slopes = self._run(t, x, condition)
        return f, self._finish(push(maps, slopes, v), v)

    def vjp(self, t, x, v, condition=None):
        f, maps, slopes = self._run(t, x, condition)
        pulled = maps[-1].pull(scaled(v, maps[-1]))
        for m, slope in zip(reversed(maps[:-1]), reversed(slopes), strict=True):
            pulled = m.pull(pulled * slope)
        return f, self._finish(pulled, v)

    def exact_divergence(self, t, x, condition=None):
        """One push for each coordinate, up to `STACK` of them at once."""
        f, maps, slopes = self._run(t, x, condition)
        event = x.shape[x.ndim - self.event_dims :]
        basis = torch.eye(event.numel(), dtype=x.dtype, device=x.device)
        basis = basis.view(-1, *[1] * (x.ndim - len(event)), *event)
        trace = 0
        for tangents in basis.split(STACK):
            image = push(maps, slopes, tangents.expand(-1, *x.shape))
            trace = trace + float32_sum((image * tangents).sum(0), self.event_dims)
        return f, trace - event.numel() if self.residual else trace

    def exact_cost(self, shape):
        return 1.0 + shape[len(shape) - self.event_dims :].numel()

    def code_estimate(self, t: Tensor, x: Tensor, probe: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """`(f, e' (dh/dx) (dg/dh) e)` for `f = g(h(x))`, `h` the hidden layer `code_layer`, a probe of its shape.

        The trace of a product does not change when its factors change places: unbiased, with the variance of a matrix
        of the size of the bottleneck (FFJORD, arXiv 1810.01367, section 3.1.1).
        """
        f, maps, slopes = self._run(t, x, condition)
        i = self.code_layer + 1
        product = push(maps[i:], slopes[i:], probe)
        for m, slope in zip(maps[:i], slopes[:i], strict=True):
            product = m.push(product) * slope
        estimate = float32_sum(product * probe, self.event_dims)
        return f, estimate - x.shape[x.ndim - self.event_dims :].numel() if self.residual else estimate


def scaled(x: Tensor, m: LinearMap) -> Tensor:
    return x if m.scale is None else x * m.scale


def push(maps: list[LinearMap], slopes: list[Tensor], v: Tensor) -> Tensor:
    """A tangent through the layers, the last of them without an activation."""
    for m, slope in zip(maps[:-1], slopes, strict=True):
        v = m.push(v) * slope
    return scaled(maps[-1].push(v), maps[-1])

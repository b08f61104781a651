"""Coupling layers: part of the input passes unchanged and decides how the rest is mapped."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.core.layers.elementwise import Additive, ElementwiseMap
from flowsuite.core.numerics import at_least_float32, autocast_off, sum_over_event, zero_ladj
from flowsuite.core.transform import Transform


def arrange_params(h: Tensor, n_params: int) -> Tensor:
    """A net's output (B, P * C, ...), parameter p of channel c at p * C + c, as (B, C, ..., P)."""
    return h.unflatten(1, (n_params, -1)).movedim(1, -1)


class Coupling(Transform):
    """`x = (a, b)` over axis 1: `a` passes, `b -> map(b; net(a))`; log-det is the sum of the map's log-derivatives.

    NICE (arXiv 1410.8516), RealNVP (1605.08803), Glow (1807.03039); neural spline flows (1906.04032) with a spline map.

    Args:
        net: takes `a` (and the context, if `conditional`), gives `n_params` channels for each of `b`: first the
            first parameter of all channels, then the second of all, and so on (shift before scale for `Affine`).
        map: the element-wise map, `Additive()` by default.
        swap: the second part conditions, the first is mapped.
        conditional: call `net(a, context)` rather than `net(a)`.
    """

    def __init__(
        self,
        net: nn.Module,
        map: ElementwiseMap | None = None,
        swap: bool = False,
        conditional: bool = False,
    ):
        super().__init__()
        self.net = net
        self.map = Additive() if map is None else map
        self.swap, self.conditional = swap, conditional

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(conditioner, mapped): the first part has the extra channel when their number is odd."""
        if x.ndim < 2 or x.shape[1] < 2:
            raise ValueError(f"Coupling needs at least 2 channels on axis 1, got a tensor of shape {tuple(x.shape)}")
        at = (x.shape[1] + 1) // 2
        first, second = x.split([at, x.shape[1] - at], dim=1)
        return (second, first) if self.swap else (first, second)

    def _merge(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat((b, a) if self.swap else (a, b), dim=1)

    def params(self, a: Tensor, context: Tensor | None) -> Tensor:
        h = self.net(a, context) if self.conditional else self.net(a)
        return arrange_params(at_least_float32(h), self.map.n_params)

    def _ladj(self, log_derivative: Tensor | None, x: Tensor) -> Tensor:
        return zero_ladj(x) if log_derivative is None else sum_over_event(log_derivative)

    def forward(self, x, context=None):
        a, b = self._split(at_least_float32(x))
        params = self.params(a, context)
        with autocast_off(x):
            b, log_derivative = self.map(b, params)
            return self._merge(a, b), self._ladj(log_derivative, x)

    def inverse(self, z, context=None):
        a, b = self._split(at_least_float32(z))
        params = self.params(a, context)
        with autocast_off(z):
            b, log_derivative = self.map.inverse(b, params)
            return self._merge(a, b), self._ladj(log_derivative, z)

    def replay(self, z, context=None):
        with torch.enable_grad():
            x = at_least_float32(z).detach().clone().requires_grad_()
            a, b = self._split(x)
            params = self.params(a, context)
            with autocast_off(z):
                with torch.no_grad():
                    original = self.map.inverse(b, params)[0]
                b.data.copy_(original)  # the net saw only `a`, so nothing that autograd saved changes
                b, log_derivative = self.map(b, params)
                return x, self._merge(a, b), self._ladj(log_derivative, x)


class MaskedCoupling(Transform):
    """`z = m*x + (1-m)*map(x; net(m*x))` with a fixed binary mask `m` of the event's shape (RealNVP, arXiv 1605.08803).

    For masks that do not split the channel axis in two: a checkerboard, or any subset of a vector. The net sees and
    gives full-size tensors.

    Args:
        mask: 1 where the input passes unchanged, broadcastable to one event.
        net, map, conditional: as for `Coupling`.
    """

    def __init__(
        self,
        mask: Tensor,
        net: nn.Module,
        map: ElementwiseMap | None = None,
        conditional: bool = False,
    ):
        super().__init__()
        if not ((mask == 0) | (mask == 1)).all():
            raise ValueError("the mask of a coupling must hold zeros and ones only")
        self.register_buffer("mask", mask.to(torch.get_default_dtype()))
        self.net = net
        self.map = Additive() if map is None else map
        self.conditional = conditional

    def params(self, kept: Tensor, context: Tensor | None) -> Tensor:
        h = self.net(kept, context) if self.conditional else self.net(kept)
        return arrange_params(at_least_float32(h), self.map.n_params)

    def _apply_map(self, direction, x, context):
        x = at_least_float32(x)
        kept = self.mask * x
        params = self.params(kept, context)
        with autocast_off(x):
            moved = 1 - self.mask
            y, log_derivative = direction(x, params)
            y = kept + moved * y
            return y, zero_ladj(x) if log_derivative is None else sum_over_event(moved * log_derivative)

    def forward(self, x, context=None):
        return self._apply_map(self.map.forward, x, context)

    def inverse(self, z, context=None):
        return self._apply_map(self.map.inverse, z, context)


def checkerboard(height: int, width: int, parity: int = 1) -> Tensor:
    """(1, H, W) mask with entries `(parity + h + w) mod 2`."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    return ((parity + rows + columns) % 2).unsqueeze(0)


def alternating(dims: int, parity: int = 0) -> Tensor:
    """(D,) mask with entries `(parity + i) mod 2`."""
    return (parity + torch.arange(dims)) % 2

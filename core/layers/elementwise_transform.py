"""An element-wise map with parameters of its own for every element."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from flowsuite.core.layers.elementwise import ElementwiseMap
from flowsuite.core.numerics import at_least_float32, autocast_off, sum_over_event, zero_ladj
from flowsuite.core.transform import Transform


class ElementwiseTransform(Transform):
    """`z_i = map(x_i; theta_i)` with learned `theta` of shape (*shape, n_params), 0 at first.

    log-det: the sum of the map's log-derivatives.

    Args:
        shape: shape of one event.
        map: the element-wise map.
    """

    def __init__(self, shape: int | Sequence[int], map: ElementwiseMap):
        super().__init__()
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.map = map
        self.params = nn.Parameter(torch.zeros(*self.shape, map.n_params))

    def _apply_map(self, direction, x):
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"expected a tensor of shape (N, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")
        x = at_least_float32(x)
        with autocast_off(x):
            y, log_derivative = direction(x, self.params.unsqueeze(0))
            return y, zero_ladj(x) if log_derivative is None else sum_over_event(log_derivative.expand_as(x))

    def forward(self, x, context=None):
        return self._apply_map(self.map.forward, x)

    def inverse(self, z, context=None):
        return self._apply_map(self.map.inverse, z)

"""Masked autoregressive layers: every feature is mapped by numbers that depend on the features before it."""

from __future__ import annotations

import torch

from flowsuite.core.cache import ParameterCache
from flowsuite.core.layers.elementwise import ElementwiseMap
from flowsuite.core.nets.made import MADE
from flowsuite.core.nets.made_steps import MADESteps, sorted_weights
from flowsuite.core.numerics import at_least_float32, autocast_off, sum_over_event, zero_ladj
from flowsuite.core.transform import Transform


class MaskedAutoregressive(Transform):
    """`z_i = map(x_i; net_i(x_1, ..., x_{i-1}, context))` on vectors (B, D); log-det: the sum of log-derivatives.

    The direction of MAF (arXiv 1705.07057): the density takes one pass through the network, sampling goes feature by
    feature. `Inverse(MaskedAutoregressive(...))` is the direction of IAF (arXiv 1606.04934): sampling takes one pass.
    The sequential direction computes every hidden unit once (`MADESteps`), which is about one pass of work, not D.

    Args:
        net: a MADE with `map.n_params` outputs a feature.
        map: the element-wise map.
    """

    def __init__(self, net: MADE, map: ElementwiseMap):
        super().__init__()
        if net.n_params != map.n_params:
            raise ValueError(
                f"{type(map).__name__} needs {map.n_params} parameters a feature, the network gives {net.n_params}"
            )
        self.net, self.map = net, map
        self.cache = ParameterCache()

    def forward(self, x, context=None):
        x = at_least_float32(x)
        h = at_least_float32(self.net(x, context))
        with autocast_off(x):
            z, log_derivative = self.map(x, h.unflatten(1, (-1, self.map.n_params)))
            return z, zero_ladj(x) if log_derivative is None else sum_over_event(log_derivative)

    def inverse(self, z, context=None):
        z = at_least_float32(z)
        self.net.check(z, context)
        state = [*self.net.parameters(), *self.net.buffers()]
        weights = self.cache.get("sorted", state, lambda: sorted_weights(self.net))
        steps = MADESteps(self.net, weights, context)
        known, xs, log_derivatives = z[:, :0], [], []
        for column in z.split(1, dim=1):
            params = at_least_float32(steps.next(known)).unsqueeze(1)
            with autocast_off(z):
                known, log_derivative = self.map.inverse(column, params)
            xs.append(known)
            log_derivatives.append(log_derivative)
        ladj = zero_ladj(z) if log_derivatives[0] is None else sum_over_event(torch.cat(log_derivatives, dim=1))
        return torch.cat(xs, dim=1), ladj

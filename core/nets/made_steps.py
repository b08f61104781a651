"""MADE evaluated feature by feature, every unit once: what sampling from an autoregressive flow costs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.nets.made import MADE, MaskedLinear, ResidualBlock


def _count(counts: list[int], degree: int) -> int:
    """How many have a degree <= `degree`."""
    return 0 if degree < 0 else counts[min(degree, len(counts) - 1)]


class _Columns:
    """A matrix that fills from left to right: in place while autograd is off."""

    def __init__(self, width: int):
        self.width, self.filled = width, 0
        self.values: Tensor | None = None

    def append(self, values: Tensor) -> None:
        if torch.is_grad_enabled():
            self.values = values if self.values is None else torch.cat((self.values, values), dim=1)
        else:
            if self.values is None:
                self.values = values.new_empty(values.shape[0], self.width)
            self.values[:, self.filled : self.filled + values.shape[1]] = values
        self.filled += values.shape[1]


class _SortedLinear:
    """A masked linear map with inputs and units sorted by degree: every unit reads a prefix of the inputs, unmasked."""

    def __init__(self, layer: MaskedLinear, weight: Tensor, bias: Tensor):
        self.weight, self.bias = weight, bias
        self.in_counts, self.out_counts, self.strict = layer.in_counts, layer.out_counts, layer.strict
        self.inputs = _Columns(weight.shape[1])

    def units(self, degree: int) -> slice:
        return slice(_count(self.out_counts, degree - 1), _count(self.out_counts, degree))

    def __call__(self, degree: int, new_inputs: Tensor) -> Tensor:
        """The units of `degree`, once the inputs that were still missing have joined the earlier ones."""
        self.inputs.append(new_inputs)
        known, units = _count(self.in_counts, degree - 1 if self.strict else degree), self.units(degree)
        return F.linear(self.inputs.values[:, :known], self.weight[units, :known], self.bias[units])


def sorted_weights(net: MADE) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of every masked layer of `net`, in order, with rows and columns sorted by degree."""
    layers = (layer for layer in net.modules() if isinstance(layer, MaskedLinear))
    return [
        (layer.masked_weight()[layer.out_order[:, None], layer.in_order], layer.bias[layer.out_order])
        for layer in layers
    ]


class MADESteps:
    """Parameters of one feature after another.

    The units of degree d depend on the first d features only, so at feature d + 1 exactly these are computed, in all
    layers, from units already known: all features together cost about one pass through the network (less than that:
    what the masks remove is never multiplied), where calling the network for each feature costs D.

    Args:
        net: the network.
        weights: its `sorted_weights`.
        context: as for the network.
    """

    def __init__(self, net: MADE, weights: list[tuple[Tensor, Tensor]], context: Tensor | None = None):
        layers = [layer for layer in net.modules() if isinstance(layer, MaskedLinear)]
        self.layers = {layer: _SortedLinear(layer, *pair) for layer, pair in zip(layers, weights, strict=True)}
        self.net, self.degree = net, 0
        self.shifts = {}
        if net.context is not None:
            shift = net.context(context)
            self.shifts[net.first] = (shift if net.context_last else F.relu(shift))[:, net.first.out_order]
            for block in net.blocks:
                if isinstance(block, ResidualBlock):
                    self.shifts[block.first] = block.context(context)[:, block.first.out_order]

    def _run(self, layer: MaskedLinear, new_inputs: Tensor) -> Tensor:
        h = self.layers[layer](self.degree, new_inputs)
        return h if layer is self.net.first and self.net.context_last else self._shift(layer, h)

    def _shift(self, layer: MaskedLinear, h: Tensor) -> Tensor:
        """The context's contribution to the present units of `layer`, added."""
        shift = self.shifts.get(layer)
        return h if shift is None else h + shift[:, self.layers[layer].units(self.degree)]

    def next(self, x: Tensor) -> Tensor:
        """Parameters (B, P) of the next feature, given the one before it, (B, 1); (B, 0) for the first feature."""
        net = self.net
        h = self._run(net.first, x)
        if not net.residual:
            h = net.activation(h)
        if net.context_last:
            h = self._shift(net.first, h)
        for block in net.blocks:
            if isinstance(block, ResidualBlock):
                h = h + self._run(block.second, block.activation(self._run(block.first, block.activation(h))))
            else:
                h = block.activation(self._run(block.linear, h))
        self.degree += 1
        return self._run(net.last, h)

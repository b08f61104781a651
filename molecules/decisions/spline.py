"""Spline couplings across the channels of a decision: really several layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.layers.spline import RationalQuadraticSpline
from flowsuite.core.transform import Compose
from flowsuite.molecules.decisions.context import ContextLinear
from flowsuite.molecules.decisions.decision import ContinuousDecision

BOUND = 3.0  # of the splines; the data take up (1 - 1/12) of [-BOUND, BOUND]


class SharedContextNet(nn.Module):
    """`net(a, context) = V SiLU(U a + context_l)`: layer l's own part of a context that was computed once for all.

    Args:
        in_features: channels of `a`.
        out_features: parameters given.
        hidden: units.
        layer: l; its part is `context[:, l * hidden : (l + 1) * hidden]`.
    """

    def __init__(self, in_features: int, out_features: int, hidden: int, layer: int):
        super().__init__()
        self.inner = nn.Linear(in_features, hidden, bias=False)
        self.outer = nn.Linear(hidden, out_features)
        nn.init.normal_(self.outer.weight, std=1e-2)
        nn.init.zeros_(self.outer.bias)
        self.part = slice(layer * hidden, (layer + 1) * hidden)

    def forward(self, a: Tensor, context: Tensor) -> Tensor:
        return self.outer(torch.nn.functional.silu(self.inner(a) + context[:, self.part]))


class SplineDecision(ContinuousDecision):
    """Rational-quadratic spline couplings (arXiv 1906.04032) over the K dequantised channels of a decision.

    Half of the channels decide how the other half is mapped, in turn, so that what is likely in one channel depends on
    the others: unlike a stack of affine layers this can be as sharp and as multi-modal as one-hot data are.

    Args:
        classes: K.
        encoder: the conditioner.
        bond: whether the decision is about a bond.
        layers: couplings.
        hidden: width of the trunk that reads the condition, and of the net of each coupling.
        bins: of every spline.
        kwargs: those of `ContinuousDecision`.
    """

    def __init__(
        self,
        classes: int,
        encoder: nn.Module,
        bond: bool,
        layers: int = 4,
        hidden: int = 128,
        bins: int = 8,
        **kwargs,
    ):
        super().__init__(classes, **kwargs)
        if classes < 2:
            raise ValueError(f"couplings need at least 2 classes, got {classes}")
        self.first = ContextLinear(encoder, bond, hidden, paths=True)
        self.trunk = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, layers * hidden))
        larger = (classes + 1) // 2
        couplings = []
        for layer in range(layers):
            swap = layer % 2 == 1
            seen = classes - larger if swap else larger
            spline = RationalQuadraticSpline(bins, BOUND, min_derivative=1e-4, identity_at_zero=True)
            net = SharedContextNet(seen, spline.n_params * (classes - seen), hidden, layer)
            couplings.append(Coupling(net, spline, swap=swap, conditional=True))
        self.couplings = Compose(couplings)
        self.centre, self.stretch = (1 + self.dequantization) / 2, BOUND * 11 / 6 / (1 + self.dequantization)

    def prepare(self, encoded, steps):
        return self.trunk(self.first(encoded, steps))

    def transform(self, params, y):
        z, ladj = self.couplings((y - self.centre) * self.stretch, params)
        return z, ladj + self.classes * math.log(self.stretch)

    def invert(self, params, z):
        return self.couplings.generate(z, params) / self.stretch + self.centre

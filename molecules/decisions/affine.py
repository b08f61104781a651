"""The published decision: affine layers that all read the same condition."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.molecules.decisions.context import ContextLinear
from flowsuite.molecules.decisions.decision import ContinuousDecision

SCALES = ("exp", "sigmoid", "softplus")


def log_softplus(a: Tensor) -> Tensor:
    """`log softplus(a)`, which is a itself far below 0."""
    return torch.where(a < -20, a, F.softplus(a.clamp_min(-20)).log())


class AffineDecision(ContinuousDecision):
    """L affine layers (arXiv 2001.09382); layer l has its own net `(a, t) = net_l(c)` of the same condition c:

    - "exp": `s = e^w tanh(a)`, `z <- (y + t) e^s`;
    - "sigmoid": `(a, t) <- e^w (a, t)`, `s = e^w' sigmoid(a + sigmoid_shift)`, `z <- s y + t`;
    - "softplus": `s = e^w softplus(a)`, w of each channel, `z <- (y + t) s`, nets of three linear layers.

    As no layer sees what another made of y, all L are one affine map of each channel: depth adds width, nothing else.
    The first layers of the L nets are evaluated as one product.

    Args:
        classes: K.
        encoder: the conditioner.
        bond: whether the decision is about a bond.
        layers: L.
        hidden: width of each net.
        scale: "exp", "sigmoid" or "softplus".
        bounded: keep w at most 1, so that 12 layers of "exp" cannot overflow float32.
        sigmoid_shift: of "sigmoid".
        kwargs: those of `ContinuousDecision`.
    """

    def __init__(
        self,
        classes: int,
        encoder: nn.Module,
        bond: bool,
        layers: int = 12,
        hidden: int = 128,
        scale: str = "exp",
        bounded: bool = True,
        sigmoid_shift: float = 2.0,
        **kwargs,
    ):
        super().__init__(classes, **kwargs)
        if scale not in SCALES:
            raise ValueError(f"unknown scale {scale!r}: expected one of {', '.join(SCALES)}")
        self.layers, self.hidden, self.scale = layers, hidden, scale
        self.bounded, self.sigmoid_shift = bounded, sigmoid_shift
        self.first = ContextLinear(encoder, bond, layers * hidden)
        nn.init.zeros_(self.first.linear.bias)
        for rows in self.first.linear.weight.data.split(hidden):
            nn.init.xavier_uniform_(rows)
        if scale == "softplus":
            self.middle = nn.Parameter(torch.empty(layers, hidden, hidden))
            self.middle_bias = nn.Parameter(torch.zeros(layers, hidden))
            for layer in self.middle.data:
                nn.init.xavier_uniform_(layer)
        self.last = nn.Parameter(torch.full((layers, hidden, 2 * classes), 1e-10))
        self.last_bias = nn.Parameter(torch.zeros(layers, 2 * classes))
        self.rescale = nn.Parameter(torch.zeros(layers, classes if scale == "softplus" else 1))
        if scale == "sigmoid":
            self.rescale_sigmoid = nn.Parameter(torch.zeros(layers, 1))

    def prepare(self, encoded, steps):
        h = self.first(encoded, steps).unflatten(1, (self.layers, self.hidden)).movedim(1, 0)
        if self.scale == "softplus":
            h = torch.baddbmm(self.middle_bias[:, None], h.relu(), self.middle)
        return torch.baddbmm(self.last_bias[:, None], h.tanh(), self.last).movedim(0, 1)

    def fold(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(scale, shift, log_scale)` (E, K) of the one map `z = scale y + shift` that all layers are."""
        log_scale, shift = self.layer_maps(params)
        after = log_scale.flip(1).cumsum(1).flip(1)  # of layer l and all later ones
        later = after - log_scale
        total = after[:, 0]
        return total.exp(), (shift * later.exp()).sum(1), total

    def layer_maps(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """`(log s, b)` (E, L, K) of every layer `z <- s y + b`."""
        w = self._bound(self.rescale)
        if self.scale == "sigmoid":
            a, t = (params * w.exp()).chunk(2, dim=2)
            return F.logsigmoid(a + self.sigmoid_shift) + self._bound(self.rescale_sigmoid), t
        a, t = params.chunk(2, dim=2)
        log_s = w.exp() * a.tanh() if self.scale == "exp" else w + log_softplus(a)
        return log_s, t * log_s.exp()

    def _bound(self, w: Tensor) -> Tensor:
        """At most 1, with the gradient of what is cut off, so that w finds its way back."""
        return w + (w.clamp_max(1.0) - w).detach() if self.bounded else w

    def transform(self, params, y):
        scale, shift, log_scale = self.fold(params)
        return scale * y + shift, log_scale.sum(1)

    def invert(self, params, z):
        _, shift, log_scale = self.fold(params)
        return (z - shift) * (-log_scale).exp()

"""Modulo shifts of a discrete latent (GraphDF)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.numerics import at_least_float32
from flowsuite.molecules.decisions.categorical import gumbel_noise_for, gumbel_of_normal
from flowsuite.molecules.decisions.context import ContextLinear
from flowsuite.molecules.decisions.decision import Decision


def circular(a: Tensor, b: Tensor) -> Tensor:
    """Distribution (E, K) of the sum modulo K of two independent numbers with distributions `a` and `b`."""
    k = a.shape[1]
    shift = (torch.arange(k, device=a.device)[:, None] - torch.arange(k, device=a.device)[None, :]) % k
    return (a[:, None, :] * b[:, shift]).sum(2)


class ModuloDecision(Decision):
    """A discrete flow (GraphDF, arXiv 2102.01189): `class = (z + mu_1(c) + ... + mu_L(c)) mod K`, `z ~ softmax(a)`.

    The shifts are argmaxes of networks, one-hot forward and softmax backward (straight-through); `log P(class)` is that
    of z, exactly: a shift has no volume. The base `a` is learned and does not depend on the condition, so that a state
    only chooses which of K rotations of one distribution holds.

    Args:
        classes: K.
        encoder: the conditioner.
        bond: whether the decision is about a bond.
        layers: L.
        hidden: width of the two hidden layers of every net.
    """

    def __init__(self, classes: int, encoder: nn.Module, bond: bool, layers: int = 12, hidden: int = 128):
        super().__init__(classes)
        self.layers = layers
        self.first = ContextLinear(encoder, bond, hidden, paths=True)
        self.trunk = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, layers * classes))
        self.base = nn.Parameter(torch.zeros(classes))

    def prepare(self, encoded, steps):
        return self.trunk(self.first(encoded, steps)).unflatten(1, (self.layers, self.classes))

    def shift(self, params: Tensor) -> Tensor:
        """(E, K): one-hot of the sum of all shifts modulo K, with the gradient of the softmaxes."""
        soft = at_least_float32(params).softmax(2)
        hard = F.one_hot(params.argmax(2), self.classes).to(soft)
        straight = hard + soft - soft.detach()
        total = straight[:, 0]
        for layer in straight.unbind(1)[1:]:
            total = circular(total, layer)
        return total

    def rolled(self, params: Tensor, values: Tensor) -> Tensor:
        """`values` (E, K) of z as those of the class, at exact shifts."""
        shift = params.argmax(2).sum(1) % self.classes
        z = (torch.arange(self.classes, device=params.device)[None, :] - shift[:, None]) % self.classes
        return values.gather(1, z)

    def log_prob(self, params, target):
        return self.log_probs(params).gather(1, target[:, None])[:, 0]

    def log_probs(self, params):
        k = torch.arange(self.classes, device=params.device)
        z = (k[None, :] - k[:, None]) % self.classes  # latent of each shift (rows) and class
        return (self.shift(params)[:, :, None] * self.base.log_softmax(0)[z]).sum(1)

    def encode(self, params, target):
        shift = params.argmax(2).sum(1)
        return gumbel_noise_for(self.base.expand(target.shape[0], -1), (target - shift) % self.classes)

    def decode(self, params, noise, temperature=1.0):
        return self.rolled(params, self.base + temperature * gumbel_of_normal(noise))

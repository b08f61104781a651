"""A categorical decision as a flow: argmax of shifted Gumbel noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.numerics import at_least_float32
from flowsuite.molecules.decisions.context import ContextLinear
from flowsuite.molecules.decisions.decision import Decision


def gumbel_of_normal(noise: Tensor) -> Tensor:
    """Standard Gumbel from standard normal noise, element by element: `-log(-log Phi(e))`."""
    return -torch.log((-torch.special.log_ndtr(noise)).clamp_min(torch.finfo(noise.dtype).tiny))


def normal_of_gumbel(gumbel: Tensor) -> Tensor:
    """The inverse of `gumbel_of_normal`, by whichever tail keeps its digits."""
    survival = -torch.expm1(-torch.exp(-gumbel))
    tiny = torch.finfo(gumbel.dtype).tiny
    lower = torch.special.ndtri(torch.exp(-torch.exp(-gumbel)).clamp_min(tiny))
    return torch.where(survival < 0.5, -torch.special.ndtri(survival.clamp_min(tiny)), lower)


def gumbel_noise_for(logits: Tensor, target: Tensor) -> Tensor:
    """Standard normal noise (E, K), drawn given that `argmax(logits + gumbel)` is the target (arXiv 1411.0030)."""
    log_p = logits.log_softmax(1)
    gumbel = gumbel_of_normal(torch.randn_like(log_p))
    chosen = F.one_hot(target, logits.shape[1]).bool()
    top = gumbel.gather(1, target[:, None])  # the largest of all perturbed log-probabilities is a standard Gumbel
    others = -torch.logaddexp(-top, -(gumbel + log_p))
    return normal_of_gumbel(torch.where(chosen, top, others) - log_p)


class CategoricalDecision(Decision):
    """`class = argmax_k (l_k(c) + g_k)` with Gumbel noise g, so that `log P(class) = log softmax(l)` exactly.

    A one-layer flow with a Gumbel base: no dequantisation, no bound. Temperature multiplies g, that is, it divides
    the logits.

    Args:
        classes: K.
        encoder: the conditioner.
        bond: whether the decision is about a bond.
        hidden: width of the two hidden layers.
    """

    def __init__(self, classes: int, encoder: nn.Module, bond: bool, hidden: int = 128):
        super().__init__(classes)
        self.first = ContextLinear(encoder, bond, hidden, paths=True)
        self.trunk = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, classes))

    def prepare(self, encoded, steps):
        return self.trunk(self.first(encoded, steps))

    def log_prob(self, params, target):
        return -F.cross_entropy(at_least_float32(params), target, reduction="none")

    def log_probs(self, params):
        return at_least_float32(params).log_softmax(1)

    def encode(self, params, target):
        return gumbel_noise_for(at_least_float32(params), target)

    def decode(self, params, noise, temperature=1.0):
        return at_least_float32(params) + temperature * gumbel_of_normal(noise)

"""What a prior says about the next latent of a level: a diagonal Gaussian, or a mixture of such."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from flowsuite.core.numerics import at_least_float32, autocast_off


class Gaussian(NamedTuple):
    """`N(z; mean, exp(log_std)^2)` over (C, H, W), both (..., C, H, W)."""

    mean: Tensor
    log_std: Tensor

    def log_prob(self, z: Tensor) -> Tensor:
        """Nats, (...,)."""
        return gaussian_log_prob(z, self.mean, self.log_std)

    def draw(self, eps: Tensor, temperature: float = 1.0, uniform: Tensor | None = None) -> Tensor:
        """`mean + temperature * std * eps`."""
        return self.mean + temperature * self.log_std.exp() * eps

    def standardize(self, z: Tensor) -> Tensor:
        """The `eps` that `draw` would make `z` of."""
        return (z - self.mean) * (-self.log_std).exp()

    def unflatten(self, size: tuple[int, int]) -> Gaussian:
        """(B * T, ...) as (B, T, ...)."""
        return Gaussian(*(t.unflatten(0, size) for t in self))

    def last(self, n: int) -> Gaussian:
        """The last `n` of the second axis."""
        return Gaussian(*(t[:, t.shape[1] - n :] for t in self))


class Mixture(NamedTuple):
    """`sum_m w_m N(z; mean_m, exp(log_std_m)^2)`, one component for the whole latent of a frame.

    logits (..., M), mean and log_std (..., M, C, H, W). What moves in one of several directions moves in that direction
    everywhere: weights per position or channel would mix pieces of different futures.
    """

    logits: Tensor
    mean: Tensor
    log_std: Tensor

    def component_log_prob(self, z: Tensor) -> Tensor:
        """`log w_m + log N_m(z)` in nats, (..., M)."""
        each = gaussian_log_prob(z.unsqueeze(-4), self.mean, self.log_std)
        return at_least_float32(self.logits).log_softmax(-1) + each

    def log_prob(self, z: Tensor) -> Tensor:
        return self.component_log_prob(z).logsumexp(-1)

    def balanced_log_prob(self, z: Tensor, balance: float) -> Tensor:
        """The value of `log_prob`, with the gradient of a bound in which all components take part.

        Left alone, mixtures of high dimension collapse: who is best at first gets all examples. The bound is
        `sum_m q_m (log w_m + log N_m) - sum_m q_m log q_m` for each example, for any q; this one is `balance` times an
        assignment that gives every component the same number of examples of the batch, and for the rest the posterior.
        """
        joint = self.component_log_prob(z)
        with torch.no_grad():
            q = balance * balanced_assignment(joint.flatten(0, -2)).view_as(joint) + (1 - balance) * joint.softmax(-1)
            exact = joint.logsumexp(-1)
        bound = (q * joint).sum(-1)
        return exact + bound - bound.detach()

    def draw(self, eps: Tensor, temperature: float = 1.0, uniform: Tensor | None = None) -> Tensor:
        """A component by its weight, whatever the temperature, which scales the noise around its mean.

        `uniform` (...,) in [0, 1) decides on the component.
        """
        if uniform is None:
            raise ValueError("a mixture needs uniform numbers to choose its components by")
        below = (self.logits.softmax(-1).cumsum(-1) <= uniform.unsqueeze(-1)).sum(-1)
        return self.component(below.clamp_max(self.logits.shape[-1] - 1)).draw(eps, temperature)

    def component(self, chosen: Tensor) -> Gaussian:
        """Of every mixture the one component with the number `chosen` (...,)."""
        index = chosen[..., None, None, None, None].expand(*chosen.shape, 1, *self.mean.shape[-3:])
        return Gaussian(*(t.gather(-4, index).squeeze(-4) for t in (self.mean, self.log_std)))

    def unflatten(self, size: tuple[int, int]) -> Mixture:
        return Mixture(*(t.unflatten(0, size) for t in self))

    def last(self, n: int) -> Mixture:
        return Mixture(*(t[:, t.shape[1] - n :] for t in self))


def gaussian_log_prob(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Summed over the last three axes, in float32 or better."""
    with autocast_off(z):
        eps = (at_least_float32(z) - mean) * (-at_least_float32(log_std)).exp()
        constant = 0.5 * math.log(2 * math.pi) * z.shape[-3:].numel()
        return (-0.5 * eps.square() - log_std).sum((-1, -2, -3)) - constant


SHARPNESS = 4.0  # of a balanced assignment: standard deviations of the log-probabilities count so many times
ROUNDS = 10


def balanced_assignment(log_prob: Tensor) -> Tensor:
    """Shares (N, M) of M components in N examples: rows sum to 1, columns to N / M, likely pairs get the most.

    Sinkhorn's iteration on `exp(log_prob / t)`, t in proportion to the spread of the numbers over components (but at
    least 1), so that it works alike where components are still equal and where they differ by thousands of nats.
    """
    spread = log_prob.std(1).mean() / SHARPNESS
    logits = (log_prob - log_prob.amax(1, keepdim=True)) / spread.clamp_min(1.0)
    for _ in range(ROUNDS):
        logits = logits - logits.logsumexp(0, keepdim=True)
        logits = logits - logits.logsumexp(1, keepdim=True)
    return logits.exp()


def soft_clamp(log_std: Tensor, bound: float | None) -> Tensor:
    """`bound * tanh(log_std / bound)`, slope 1 at 0: keeps sigma within `exp(+-bound)`; None leaves it free."""
    return log_std if bound is None else bound * torch.tanh(log_std / bound)

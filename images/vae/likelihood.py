"""Distributions of pixels given their parameters, `log p(x | z)`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.numerics import at_least_float32


class Likelihood:
    """A distribution of every pixel on its own; images are uint8 (B, C, H, W), parameters (N, `levels` C, H, W).

    Attributes:
        levels: parameters of a pixel.
        depth: bits of a pixel.
    """

    levels: int
    depth: int

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """`log p(x | z)` in nats, (S, B): parameters (S B, ...) hold S draws of each of the B images, draws first."""
        raise NotImplementedError

    def mean(self, parameters: Tensor) -> Tensor:
        """The expected images, uint8."""
        raise NotImplementedError

    def sample(self, parameters: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images, uint8, every pixel drawn."""
        raise NotImplementedError

    def check(self, x: Tensor) -> None:
        """Raises ValueError if the images x are not what the distribution is of."""


class Bernoulli(Likelihood):
    """`log p = sum x l - softplus(l)`, x = 0 or 1 for the values 0 and 255, l the logit."""

    levels, depth = 1, 1

    def log_prob(self, parameters, x):
        logits = at_least_float32(parameters).unflatten(0, (-1, len(x)))
        return (logits * (x > 127) - F.softplus(logits)).sum((2, 3, 4))

    def mean(self, parameters):
        return (255 * torch.sigmoid(parameters)).round().to(torch.uint8)

    def sample(self, parameters, generator=None):
        logits = at_least_float32(parameters)
        u = torch.rand(logits.shape, generator=generator, device=logits.device, dtype=logits.dtype)
        return 255 * (u < torch.sigmoid(logits)).to(torch.uint8)

    def check(self, x):
        grey = (x != 0) & (x != 255)
        if grey.any():
            raise ValueError(
                f"a Bernoulli decoder is of binary images, values 0 and 255, got {int(x[grey][0])} among others: take "
                "binarised data such as BinaryMNIST, or likelihood: categorical"
            )


class Categorical(Likelihood):
    """256 logits a pixel, a softmax over the grey levels (the decoder of Frey faces in arXiv 1803.05649)."""

    levels, depth = 256, 8

    def logits(self, parameters: Tensor) -> Tensor:
        """(N, 256, C, H, W)."""
        return at_least_float32(parameters).unflatten(1, (self.levels, -1))

    def log_prob(self, parameters, x):
        draws = len(parameters) // len(x)
        target = x.long().repeat(draws, 1, 1, 1)
        each = F.cross_entropy(self.logits(parameters), target, reduction="none")
        return -each.sum((1, 2, 3)).unflatten(0, (draws, len(x)))

    def mean(self, parameters):
        logits = self.logits(parameters)
        grey = torch.arange(self.levels, device=logits.device, dtype=logits.dtype).view(-1, 1, 1, 1)
        return (logits.softmax(1) * grey).sum(1).round().to(torch.uint8)

    def sample(self, parameters, generator=None):
        logits = self.logits(parameters)
        u = torch.rand(logits.shape, generator=generator, device=logits.device, dtype=logits.dtype)
        gumbel = -torch.log(-torch.log(u.clamp_min(torch.finfo(u.dtype).tiny)))
        return (logits + gumbel).argmax(1).to(torch.uint8)


LIKELIHOODS = {"bernoulli": Bernoulli, "categorical": Categorical}


def make_likelihood(name: str) -> Likelihood:
    if name not in LIKELIHOODS:
        raise ValueError(f"unknown likelihood {name!r}: expected one of {', '.join(LIKELIHOODS)}")
    return LIKELIHOODS[name]()

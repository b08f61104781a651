"""From the features of a temporal net to a Gaussian or a mixture over the next latent."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from flowsuite.core.nets.conv import EdgeConv2d
from flowsuite.core.numerics import at_least_float32
from flowsuite.video.advection import Advection
from flowsuite.video.predictions import Gaussian, Mixture, soft_clamp


class Form(NamedTuple):
    """How the output of a net becomes a Gaussian.

    Attributes:
        bound: soft bound of log sigma; None for none.
        natural: power of sigma^2 that the gradient of the mean is multiplied by in training. The likelihood's own
            gradient, `(z - mu) / sigma^2`, all but leaves out where sigma is large: a net that at first explains what
            moves by a wide sigma is slow to learn where it goes (arXiv 2203.09168). With 1 the step of the mean is its
            natural gradient (the Fisher information of a mean is 1 / sigma^2). Values are those of the likelihood.
    """

    bound: float | None = None
    natural: float = 0.0


DEFAULT_FORM = Form(7.0)


def as_gaussian(h: Tensor, previous: Tensor | None, form: Form) -> Gaussian:
    """Mean and log sigma are the halves of the channels; the mean is that of the step from `previous`, if given."""
    delta, log_std = at_least_float32(h).chunk(2, dim=-3)
    log_std = soft_clamp(log_std, form.bound)
    if form.natural and delta.requires_grad:
        factor = (2 * form.natural * log_std.detach()).exp()
        delta = delta.detach() + factor * (delta - delta.detach())
    return Gaussian(delta if previous is None else previous + delta, log_std)


class MixtureHead(nn.Module):
    """A 3x3 convolution into many channels, ReLU; from there maps of every component, and their weights.

    Mean and log sigma of component m are a 1x1 convolution of its own of the shared features, which have seen the
    neighbourhood: components can move the content of the latent in different directions. They start as small random
    numbers, because equal ones would stay equal. The weights depend on the mean of the features over space: there is
    one set for a whole latent.

    Args:
        features: channels of the input.
        channels: C of the latent.
        components: M.
        width: channels in between; M * C if that is more, lest the components share what one of them needs.
    """

    def __init__(self, features: int, channels: int, components: int, width: int):
        super().__init__()
        width = max(width, components * channels)
        self.channels, self.components = channels, components
        self.lift = EdgeConv2d(features, width, 3, "indicator", actnorm=True)
        self.maps = EdgeConv2d(width, components * 2 * channels, 1, zero_init=True)
        nn.init.normal_(self.maps.weight, std=0.02)
        self.weights = nn.Linear(width, components)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)

    def forward(self, h: Tensor, previous: Tensor | None, form: Form) -> Mixture:
        h = self.lift(h, relu=True)
        maps = self.maps(h).unflatten(1, (self.components, 2 * self.channels))
        each = as_gaussian(maps, None if previous is None else previous.unsqueeze(1), form)
        return Mixture(at_least_float32(self.weights(h.mean((2, 3)))), each.mean, each.log_std)


class GaussianHead(nn.Module):
    """A 3x3 convolution that starts at zero."""

    def __init__(self, features: int, channels: int):
        super().__init__()
        self.maps = EdgeConv2d(features, 2 * channels, 3, "indicator", zero_init=True)

    def forward(self, h: Tensor, previous: Tensor | None, form: Form) -> Gaussian:
        return as_gaussian(self.maps(h), previous, form)


LEAST_MISFIT = 1e-6  # so that there is a gradient where nothing is known to have moved


class MotionHead(nn.Module):
    """A mixture whose components are one Gaussian, moved in different ways (`Advection`).

    What comes next is the last latent, or another one where its gate is closed, as it would be if nothing moved:
    `c = sigmoid(gate) z_{t-1} + delta`, and every component m carries `c` and log sigma along by its motion. Content
    is learned once for all motions, and the gate keeps the noise of what stands still from being copied.

    The weights of the motions depend on the mean of features over space, and on what is known to have moved: with the
    misfit `e_m = |a_m(before) - after|^2`, `logits_m -= 10 trust e_m / mean(e)`. At the top that is the last step of
    the latent itself, below it the step that the level above makes now.

    Args:
        features: channels of the input.
        channels: C of the latent.
        reach: of the motions, size of their kernels: M = reach^2 components.
        width: channels of the features that the weights are made of.
    """

    def __init__(self, features: int, channels: int, reach: int, width: int):
        super().__init__()
        self.channels = channels
        self.advection = Advection(reach)
        self.maps = EdgeConv2d(features, 3 * channels, 3, "indicator", zero_init=True)
        self.lift = EdgeConv2d(features, width, 3, "indicator", actnorm=True)
        self.weights = nn.Linear(width, self.advection.motions)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        self.trust = nn.Parameter(torch.ones(()))

    def forward(self, h: Tensor, previous: Tensor, form: Form, before: Tensor, after: Tensor) -> Mixture:
        maps, gate = self.maps(h).split([2 * self.channels, self.channels], dim=1)
        each = as_gaussian(self.advection(maps), self.advection(gate.sigmoid() * previous), form)
        misfit = (self.advection(before) - after.unsqueeze(1)).square().mean((2, 3, 4))
        relative = misfit / (misfit.mean(1, keepdim=True) + LEAST_MISFIT)
        logits = self.weights(self.lift(h, relu=True).mean((2, 3))) - 10 * self.trust * relative
        return Mixture(at_least_float32(logits), each.mean, each.log_std)

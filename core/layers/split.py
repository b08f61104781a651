"""Factoring out half of the channels, gaussianised by a learned conditional prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.core.nets.conv import EdgeConv2d
from flowsuite.core.numerics import at_least_float32, autocast_off, sum_over_event, zero_ladj
from flowsuite.core.transform import Transform


def standardize(z: Tensor, mean: Tensor, log_std: Tensor) -> tuple[Tensor, Tensor]:
    """`eps = (z - mean) * exp(-log_std)` and its log-det `-sum(log_std)`; the prior is per example or one for all."""
    with autocast_off(z):
        eps = (z - mean) * (-log_std).exp()
        return eps, -sum_over_event(log_std).expand(z.shape[0])


def destandardize(eps: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    with autocast_off(eps):
        return mean + eps * log_std.exp()


class Split(nn.Module):
    """`x = (h, z)` over axis 1: `h` goes on, `z` leaves, standardised by a prior that is conditional on `h`.

    `forward(x) -> (h, eps, ladj)` and `inverse(h, eps) -> (x, ladj)`, with `eps = (z - mean(h)) / std(h)`: the prior
    becomes part of the map, and all latents are standard (Glow, arXiv 1807.03039; RealNVP, 1605.08803, without a net).

    Args:
        net: from `h` to mean and log std of `z`, one after the other on axis 1; None for a fixed standard prior.
    """

    def __init__(self, net: nn.Module | None = None):
        super().__init__()
        self.net = net

    def _prior(self, h: Tensor) -> tuple[Tensor, Tensor]:
        return at_least_float32(self.net(h)).chunk(2, dim=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if x.shape[1] % 2:
            raise ValueError(f"Split needs an even number of channels, got {tuple(x.shape)}")
        h, z = x.chunk(2, dim=1)
        if self.net is None:
            return h, z, zero_ladj(x)
        eps, ladj = standardize(z, *self._prior(h))
        return h, eps, ladj

    def inverse(self, h: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        if self.net is None:
            return torch.cat((h, eps), dim=1), zero_ladj(h)
        mean, log_std = self._prior(h)
        return torch.cat((h, destandardize(eps, mean, log_std)), dim=1), sum_over_event(log_std)


class GaussianTop(Transform):
    """Standardises the last latent by a learned prior: `eps = (z - mean(y)) / std(y)`.

    Mean and log std come from a convolution of a zero image (the border it sees makes them vary in space), if `learn`,
    plus a zero-initialised embedding of the class `y`, if there are classes (Glow, arXiv 1807.03039; openai/glow).
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        learn: bool = True,
        n_classes: int = 0,
        net: nn.Module | None = None,
        logscale_factor: float = 3.0,
    ):
        super().__init__()
        channels = shape[0]
        self.shape, self.n_classes, self.logscale_factor = shape, n_classes, logscale_factor
        self.net = (net or EdgeConv2d(2 * channels, 2 * channels, 3, "indicator", zero_init=True)) if learn else None
        if n_classes:
            self.class_weight = nn.Parameter(torch.zeros(n_classes, 2 * channels))
            self.class_bias = nn.Parameter(torch.zeros(2 * channels))
            self.class_log_scale = nn.Parameter(torch.zeros(2 * channels))

    def _prior(self, y: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor] | None:
        h = None
        if self.net is not None:
            zeros = at_least_float32(like).new_zeros(1, self.net.weight.shape[1], *self.shape[1:])
            h = at_least_float32(self.net(zeros))
        if self.n_classes:
            if y is None:
                raise ValueError(
                    f"this model is conditional on a class: pass context=labels (N,) in 0..{self.n_classes - 1}"
                )
            embedding = (self.class_weight[y] + self.class_bias) * (self.logscale_factor * self.class_log_scale).exp()
            embedding = embedding[..., None, None]
            h = embedding.expand(-1, -1, *self.shape[1:]) if h is None else h + embedding
        return None if h is None else h.chunk(2, dim=1)

    def forward(self, x, context=None):
        prior = self._prior(context, x)
        return (x, zero_ladj(x)) if prior is None else standardize(x, *prior)

    def inverse(self, z, context=None):
        prior = self._prior(context, z)
        if prior is None:
            return z, zero_ladj(z)
        return destandardize(z, *prior), sum_over_event(prior[1]).expand(z.shape[0])

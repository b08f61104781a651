"""The PointNet-like set encoder of PointFlow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from flowsuite.core.numerics import at_least_float32
from flowsuite.core.objective import kl_to_standard_normal


class Posterior(NamedTuple):
    """`q(z|X) = N(mean, diag exp(log_var))` of a batch of shapes; a single point where `log_var` is None.

    Attributes:
        mean: (B, zdim).
        log_var: (B, zdim) or None.
    """

    mean: Tensor
    log_var: Tensor | None

    def sample(self, eps: Tensor | None = None) -> Tensor:
        """`z = mean + exp(log_var / 2) eps`, `eps` (B, zdim) standard normal, drawn if None."""
        if self.log_var is None:
            return self.mean
        eps = torch.randn_like(self.mean) if eps is None else eps
        return self.mean + (0.5 * self.log_var).exp() * eps

    def entropy(self) -> Tensor:
        """`H[q] = sum(log_var) / 2 + zdim (1 + log 2 pi) / 2` in nats, (B,); 0 for a single point."""
        if self.log_var is None:
            return self.mean.new_zeros(len(self.mean))
        return 0.5 * (self.log_var + (1 + math.log(2 * math.pi))).sum(1)

    def log_prob(self, z: Tensor) -> Tensor:
        """`log q(z|X)` in nats, (B,)."""
        if self.log_var is None:
            raise ValueError("a deterministic encoder has no density of codes")
        scaled = (z - self.mean).square() * (-self.log_var).exp()
        return -0.5 * (scaled + self.log_var + math.log(2 * math.pi)).sum(1)

    def kl_to_standard(self) -> Tensor:
        """`KL(q || N(0, I))` in nats, (B,); `|mean|^2 / 2` for a single point."""
        return kl_to_standard_normal(self.mean, self.log_var)


class PointNetEncoder(nn.Module):
    """Clouds (B, N, 3) to `q(z|X)`, whatever the order of the points (arXiv 1906.12320, appendix).

    Every point goes through linear layers of `widths`, each with batch norm, and ReLU after all but the last; the
    maximum over the points is the feature of the shape; heads of widths `head`, with batch norm and ReLU, and a last
    linear layer make the mean and the log-variance, each its own, of the code.

    Args:
        zdim: size of the code.
        deterministic: one head: the code itself (auto-encoder).
        widths: of the layers of single points.
        head: hidden widths of a head.
        dim: size of a point.
    """

    def __init__(
        self,
        zdim: int = 128,
        deterministic: bool = False,
        widths: Sequence[int] = (128, 128, 256, 512),
        head: Sequence[int] = (256, 128),
        dim: int = 3,
    ):
        super().__init__()
        if min(zdim, dim, *widths, *head) < 1:
            raise ValueError(f"an encoder needs sizes >= 1, got zdim={zdim}, widths={widths}, head={head}, dim={dim}")
        layers = []
        for a, b in pairwise((dim, *widths)):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()]
        self.point_layers = nn.Sequential(*layers[:-1])
        self.mean = make_head(widths[-1], head, zdim)
        self.log_var = None if deterministic else make_head(widths[-1], head, zdim)

    def forward(self, x: Tensor) -> Posterior:
        batch, points, dim = x.shape
        feature = self.point_layers(x.reshape(-1, dim)).view(batch, points, -1).max(dim=1).values
        log_var = None if self.log_var is None else at_least_float32(self.log_var(feature))
        return Posterior(at_least_float32(self.mean(feature)), log_var)


def make_head(features: int, hidden: Sequence[int], zdim: int) -> nn.Sequential:
    layers = []
    for a, b in pairwise((features, *hidden)):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear((features, *hidden)[-1], zdim))

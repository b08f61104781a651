"""Activations that know their slope, for Jacobians written out by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


class SlopedActivation(nn.Module):
    """An elementwise function: `forward(a) -> h`, `with_slope(a) -> (h, dh/da)`."""

    def forward(self, a: Tensor) -> Tensor:
        return self.with_slope(a)[0]

    def with_slope(self, a: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} must define with_slope(a) -> (h, dh/da)")


class Tanh(SlopedActivation):
    def forward(self, a):
        return torch.tanh(a)

    def with_slope(self, a):
        h = torch.tanh(a)
        return h, 1 - h * h


class Softplus(SlopedActivation):
    def forward(self, a):
        return F.softplus(a)

    def with_slope(self, a):
        return F.softplus(a), torch.sigmoid(a)


class ELU(SlopedActivation):
    """Its second derivative jumps at 0, which costs adaptive solvers steps."""

    def forward(self, a):
        return F.elu(a)

    def with_slope(self, a):
        h = F.elu(a)
        return h, torch.where(a > 0, 1.0, h + 1)


class SELU(SlopedActivation):
    """arXiv 1706.02515."""

    def forward(self, a):
        return F.selu(a)

    def with_slope(self, a):
        h = F.selu(a)
        return h, torch.where(a > 0, SELU_SCALE, h + SELU_SCALE * SELU_ALPHA)


class Swish(SlopedActivation):
    """`a * sigmoid(beta * a)` with a learned beta, 1 at first."""

    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(1.0))

    def forward(self, a):
        return a * torch.sigmoid(self.beta * a)

    def with_slope(self, a):
        s = torch.sigmoid(self.beta * a)
        h = a * s
        return h, s + self.beta * h * (1 - s)


class SiLU(SlopedActivation):
    def forward(self, a):
        return F.silu(a)

    def with_slope(self, a):
        s = torch.sigmoid(a)
        h = a * s
        return h, s + h * (1 - s)


class ReLU(SlopedActivation):
    """Its kinks force adaptive solvers to tiny steps: prefer a smooth activation."""

    def forward(self, a):
        return torch.relu(a)

    def with_slope(self, a):
        return torch.relu(a), (a > 0).to(a.dtype)


class Square(SlopedActivation):
    def with_slope(self, a):
        return a * a, 2 * a


class Sine(SlopedActivation):
    """`sin(3 a)`: fields of points or pixels, which have fine detail, learn faster with waves (arXiv 2006.09661)."""

    def forward(self, a):
        return torch.sin(3 * a)

    def with_slope(self, a):
        return torch.sin(3 * a), 3 * torch.cos(3 * a)


class Identity(SlopedActivation):
    def with_slope(self, a):
        return a, torch.ones_like(a)


SLOPED_ACTIVATIONS = {
    "tanh": Tanh,
    "softplus": Softplus,
    "elu": ELU,
    "selu": SELU,
    "swish": Swish,
    "silu": SiLU,
    "relu": ReLU,
    "sine": Sine,
    "square": Square,
    "identity": Identity,
}


def make_sloped_activation(name: str) -> SlopedActivation:
    """The activation called `name`, one of `SLOPED_ACTIVATIONS`."""
    if name not in SLOPED_ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}: expected one of {', '.join(SLOPED_ACTIVATIONS)}")
    return SLOPED_ACTIVATIONS[name]()

"""Fully connected conditioner."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
}


def make_activation(name: str) -> nn.Module:
    """The activation called `name`, one of `ACTIVATIONS`."""
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}: expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def check_context(context: Tensor | None, batch: int, features: int, who: str) -> None:
    """The context of a conditional net: one row of `features` numbers for each of the `batch` examples."""
    if context is None or tuple(context.shape) != (batch, features):
        got = "none" if context is None else f"a tensor of shape {tuple(context.shape)}"
        rows = "N" if batch < 0 else batch
        raise ValueError(f"{who} expected a context of shape ({rows}, {features}), got {got}")


class MLP(nn.Module):
    """`net(x, context=None)`: linear layers with an activation after all but the last; (B, in) -> (B, out).

    Args:
        in_features, out_features: sizes of input and output.
        hidden: sizes of the hidden layers, first to last; none for a linear map.
        context_features: size of a context (B, context_features) that joins the input; 0 for none, and a context given
            all the same is ignored.
        activation: one of `ACTIVATIONS`.
        zero_init: the last layer starts at 0.
        init_range: draw every weight from U(-init_range, init_range) and start the biases at 0 (NICE, arXiv 1410.8516:
            0.01); None for PyTorch's initialisation.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: Sequence[int],
        context_features: int = 0,
        activation: str = "relu",
        zero_init: bool = False,
        init_range: float | None = None,
    ):
        super().__init__()
        self.in_features, self.context_features = in_features, context_features
        sizes = [in_features + context_features, *hidden, out_features]
        if min(sizes) < 1:
            raise ValueError(f"every layer of an MLP needs at least one unit, got sizes {sizes}")
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.activation = make_activation(activation)
        if init_range is not None:
            for linear in self.linears:
                nn.init.uniform_(linear.weight, -init_range, init_range)
                nn.init.zeros_(linear.bias)
        if zero_init:
            nn.init.zeros_(self.linears[-1].weight)
            nn.init.zeros_(self.linears[-1].bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if x.ndim != 2 or x.shape[1] != self.in_features:
            raise ValueError(f"MLP expected an input of shape (N, {self.in_features}), got {tuple(x.shape)}")
        if self.context_features:
            check_context(context, x.shape[0], self.context_features, "MLP")
            x = torch.cat((x, context), dim=1)
        for linear in self.linears[:-1]:
            x = self.activation(linear(x))
        return self.linears[-1](x)

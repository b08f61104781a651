"""MADE: a network whose outputs for feature i see the features before i only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.nets.mlp import check_context, make_activation


def hidden_degrees(units: int, features: int) -> Tensor:
    """Degrees of hidden units, cycling through 1..features-1; all 0 for a single feature."""
    return torch.arange(units) % max(1, features - 1) + min(1, features - 1)


class MaskedLinear(nn.Linear):
    """A linear map whose unit of degree m sees inputs of degree <= m, or < m if `strict`.

    The degrees are buffers; what follows from them is set up again when a checkpoint is loaded: the mask, and for
    sequential evaluation (`flowsuite.core.nets.made_steps`) the order of inputs and units by degree, and
    `in_counts[d]`, `out_counts[d]`, how many of them have a degree <= d.
    """

    def __init__(self, in_degrees: Tensor, out_degrees: Tensor, strict: bool = False):
        super().__init__(len(in_degrees), len(out_degrees))
        self.strict = strict
        self.register_buffer("in_degrees", in_degrees.clone())
        self.register_buffer("out_degrees", out_degrees.clone())
        for name in ("mask", "in_order", "out_order"):
            self.register_buffer(name, None, persistent=False)
        self._follow_degrees()

    def _follow_degrees(self) -> None:
        out, into = self.out_degrees[:, None], self.in_degrees[None, :]
        self.mask = out > into if self.strict else out >= into
        self.in_order = torch.argsort(self.in_degrees, stable=True)
        self.out_order = torch.argsort(self.out_degrees, stable=True)
        self.in_counts = torch.bincount(self.in_degrees).cumsum(0).tolist()
        self.out_counts = torch.bincount(self.out_degrees).cumsum(0).tolist()

    def _load_from_state_dict(self, state_dict, prefix, *args):
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._follow_degrees()

    def masked_weight(self) -> Tensor:
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.masked_weight(), self.bias)


class ResidualBlock(nn.Module):
    """`h + W_2 a(W_1 a(h) + C context)` with masked `W_1`, `W_2`, activation a; starts near the identity."""

    def __init__(self, degrees: Tensor, context_features: int = 0, activation: str = "relu"):
        super().__init__()
        self.activation = make_activation(activation)
        self.first, self.second = MaskedLinear(degrees, degrees), MaskedLinear(degrees, degrees)
        self.context = nn.Linear(context_features, len(degrees)) if context_features else None
        nn.init.uniform_(self.second.weight, -1e-3, 1e-3)
        nn.init.uniform_(self.second.bias, -1e-3, 1e-3)

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        inner = self.first(self.activation(h))
        if self.context is not None:
            inner = inner + self.context(context)
        return h + self.second(self.activation(inner))


class FeedForwardBlock(nn.Module):
    """`a(W h)` with masked `W`, activation a."""

    def __init__(self, degrees: Tensor, activation: str = "relu"):
        super().__init__()
        self.activation = make_activation(activation)
        self.linear = MaskedLinear(degrees, degrees)

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        return self.activation(self.linear(h))


class MADE(nn.Module):
    """Masked autoencoder for distribution estimation (arXiv 1502.03509), (B, D) -> (B, D * P).

    Output `i * P + p`, parameter p of feature i, depends on the features before i and the context. Inputs have degrees
    1..D, hidden units cycle through 1..D-1; a unit sees degrees up to its own, an output those below.

    Args:
        features: D.
        n_params: P.
        hidden_features: units of every hidden layer.
        num_blocks: blocks between first and last layer.
        residual: residual blocks of two masked layers each; else blocks of one layer and an activation.
        context_features: size of a context (B, context_features), 0 for none. It enters the first layer through
            `relu(linear(context))` and each residual block through a linear map after its first layer.
        activation: one of `flowsuite.core.nets.mlp.ACTIVATIONS`.
        context_last: the context enters once, as `linear(context)` added after the first activation, as in the
            inverse autoregressive posteriors of arXiv 1803.05649; not with residual blocks.
    """

    def __init__(
        self,
        features: int,
        n_params: int,
        hidden_features: int,
        num_blocks: int = 2,
        residual: bool = True,
        context_features: int = 0,
        activation: str = "relu",
        context_last: bool = False,
    ):
        super().__init__()
        if residual and context_last:
            raise ValueError("context_last is for a MADE without residual blocks")
        for name, value in (("features", features), ("n_params", n_params), ("hidden_features", hidden_features)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if num_blocks < 0 or context_features < 0:
            raise ValueError(
                f"num_blocks and context_features must not be negative, got {num_blocks}, {context_features}"
            )
        self.features, self.n_params = features, n_params
        self.residual, self.context_features, self.context_last = residual, context_features, context_last
        self.activation = make_activation(activation)
        inputs, hidden = torch.arange(1, features + 1), hidden_degrees(hidden_features, features)
        self.first = MaskedLinear(inputs, hidden)
        self.context = nn.Linear(context_features, hidden_features) if context_features else None
        self.blocks = nn.ModuleList(
            ResidualBlock(hidden, context_features, activation) if residual else FeedForwardBlock(hidden, activation)
            for _ in range(num_blocks)
        )
        self.last = MaskedLinear(hidden, inputs.repeat_interleave(n_params), strict=True)

    def check(self, x: Tensor, context: Tensor | None) -> None:
        if x.ndim != 2 or x.shape[1] != self.features:
            raise ValueError(f"MADE expected an input of shape (N, {self.features}), got {tuple(x.shape)}")
        if self.context is not None:
            check_context(context, x.shape[0], self.context_features, "MADE")

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        h = self.first(x)
        if self.context is not None and not self.context_last:
            h = h + F.relu(self.context(context))
        if not self.residual:
            h = self.activation(h)
        if self.context is not None and self.context_last:
            h = h + self.context(context)
        for block in self.blocks:
            h = block(h, context)
        return self.last(h)

"""Layers whose parameters are either learned or emitted by a network for every example (amortised inference)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from flowsuite.core.nets.mlp import check_context
from flowsuite.core.numerics import at_least_float32, autocast_off
from flowsuite.core.transform import Transform

HEAD_SCALE = 0.1  # a fresh head moves little: every example starts near the unconditional initialisation


class AmortizedTransform(Transform):
    """A transform of vectors (B, D) with parameters of its own, or parameters linear in the context.

    Layers of variational posteriors are written in their published direction: `forward` takes the noise `z_0` to the
    posterior sample `z_K` and its `ladj` is `log|det dz_K/dz_0|`. A posterior with a density is
    `Flow(Inverse(Compose(layers)), base)`, which `flowsuite.core.variational.Posterior` builds: there, as everywhere,
    the flow's forward takes the sample to the noise.

    A subclass gives `push(z, **params)` and `pull(z, **params)`, the two directions for `z` of shape (..., B, D) and
    parameters with a first axis of size B, or 1 where all examples share them; both return `ladj` (..., B).

    Args:
        dims: D.
        initial: name -> initial value of one example's parameter.
        context_features: size C of a context (B, C) that all parameters are a linear map of; 0 to learn them directly.
    """

    def __init__(self, dims: int, initial: Mapping[str, Tensor], context_features: int = 0):
        super().__init__()
        if dims < 1 or context_features < 0:
            raise ValueError(f"expected dims >= 1 and context_features >= 0, got {dims} and {context_features}")
        self.dims, self.context_features = dims, context_features
        self.shapes = {name: tuple(value.shape) for name, value in initial.items()}
        if not context_features:
            for name, value in initial.items():
                self.register_parameter(name, nn.Parameter(value))
            return
        self.head = nn.Linear(context_features, sum(map(math.prod, self.shapes.values())))
        with torch.no_grad():
            self.head.weight.mul_(HEAD_SCALE)
            self.head.bias.copy_(torch.cat([value.flatten() for value in initial.values()]))

    def extra_repr(self) -> str:
        return f"dims={self.dims}, context_features={self.context_features}"

    def params(self, context: Tensor | None, batch: int) -> dict[str, Tensor]:
        """All parameters by name, in float32 or better: (1, ...) if learned, (batch, ...) from the context."""
        if not self.context_features:
            return {name: at_least_float32(getattr(self, name)).unsqueeze(0) for name in self.shapes}
        check_context(context, batch, self.context_features, type(self).__name__)
        parts = at_least_float32(self.head(context)).split([math.prod(s) for s in self.shapes.values()], dim=1)
        return {name: part.unflatten(1, s) for (name, s), part in zip(self.shapes.items(), parts, strict=True)}

    def check(self, z: Tensor) -> Tensor:
        if z.ndim < 2 or z.shape[-1] != self.dims:
            raise ValueError(f"{type(self).__name__} expected shape (N, {self.dims}), got {tuple(z.shape)}")
        return at_least_float32(z)

    def push(self, z: Tensor, **params: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} must define push(z, **params) -> (z, ladj)")

    def pull(self, z: Tensor, **params: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} must define pull(z, **params) -> (z, ladj)")

    def forward(self, x, context=None):
        x, params = self.check(x), self.params(context, x.shape[-2])
        with autocast_off(x):
            return self.push(x, **params)

    def inverse(self, z, context=None):
        z, params = self.check(z), self.params(context, z.shape[-2])
        with autocast_off(z):
            return self.pull(z, **params)


def layers_of(*params: Tensor) -> list[tuple[Tensor, ...]]:
    """Parameters (1 or B, K, ...) of K layers, layer by layer: (...) where examples share them, (B, ...) else."""
    split = (p[0].unbind(0) if len(p) == 1 else p.unbind(1) for p in params)
    return list(zip(*split, strict=True))


def dot(z: Tensor, w: Tensor) -> Tensor:
    """`w . z` in every row: (..., B, D) with (D,) or (B, D) -> (..., B)."""
    return z @ w if w.ndim == 1 else (z * w).sum(-1)


def add_multiple(z: Tensor, factor: Tensor, u: Tensor, sign: int = 1) -> Tensor:
    """`z + sign * factor u` in every row: (..., B, D), (..., B) and (D,) or (B, D)."""
    if u.ndim == 1 and z.ndim == 2:
        return torch.addr(z, factor, u, alpha=sign)
    return torch.addcmul(z, factor.unsqueeze(-1), u, value=sign)


def apply_matrix(matrix: Tensor, z: Tensor) -> Tensor:
    """`A z` in every row: (M, D) or (B, M, D) with (..., B, D) -> (..., B, M)."""
    return z @ matrix.T if matrix.ndim == 2 else torch.einsum("bmd,...bd->...bm", matrix, z)

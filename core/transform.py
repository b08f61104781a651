"""The one contract that every invertible layer of the suite fulfils."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Transform(nn.Module):
    """An invertible map between data `x` and latent `z` with a tractable Jacobian determinant.

    - `forward(x, context=None) -> (z, ladj)`: data to latent;
    - `inverse(z, context=None) -> (x, ladj)`: latent to data;
    - `generate(z, context=None) -> x`: the inverse alone, for when its log-determinant is what costs.

    `ladj` is `log|det dz/dx|` of the direction asked for: shape (batch,), natural log, float32 or better also
    under autocast. The first axis of `x`, `z` and of every tensor in `context` is the batch; a transform that has
    no use for the context ignores it.

    A transform that is not a bijection (dequantisation, say) sets `bijective = False` and documents what its
    `ladj` stands for, such that the sum over a chain stays a bound on the log-likelihood.
    """

    bijective = True

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} must define forward(x, context) -> (z, ladj)")

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} must define inverse(z, context) -> (x, ladj)")

    def generate(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.inverse(z, context)[0]

    def replay(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """`(x, z, ladj)` from `z` alone: `x = inverse(z)` as a fresh leaf, then `forward(x)` recorded by autograd.

        Reversible training calls this once per layer on the way back. A transform whose inverse and forward share
        an expensive conditioner overrides it so that the conditioner runs once.
        """
        with torch.no_grad():
            x = self.generate(z, context)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            z, ladj = self.forward(x, context)
        return x, z, ladj


class Compose(Transform):
    """Transforms applied one after another: `z = f_n(...f_1(x))`, their `ladj` summed.

    Indexing gives a layer, slicing gives a `Compose` that shares its layers.

    Args:
        transforms: the layers, in encoding order.
        reversible: train with activation memory that does not grow with the number of layers, by recomputing every
            layer's input from its output on the way back (`flowsuite.core.reversible`). All layers must be bijective.
    """

    def __init__(self, transforms: Iterable[Transform], reversible: bool = False):
        super().__init__()
        self.transforms = nn.ModuleList(transforms)
        if not len(self.transforms):
            raise ValueError("Compose needs at least one transform, got none")
        self.reversible = reversible
        if reversible:
            for transform in self.transforms:
                if not transform.bijective:
                    raise ValueError(f"a reversible chain needs bijective layers, got {type(transform).__name__}")

    @property
    def bijective(self) -> bool:
        return all(t.bijective for t in self.transforms)

    def __len__(self) -> int:
        return len(self.transforms)

    def __getitem__(self, i):
        return Compose(self.transforms[i]) if isinstance(i, slice) else self.transforms[i]

    def __iter__(self):
        return iter(self.transforms)

    def forward(self, x, context=None):
        if self.reversible and torch.is_grad_enabled():
            from flowsuite.core.reversible import reversible_forward

            return reversible_forward(self, x, context)
        return self.run_forward(x, context)

    def run_forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The layers one after another, whatever `reversible` says."""
        z, total = self.transforms[0](x, context)
        for transform in self.transforms[1:]:
            z, ladj = transform(z, context)
            total = total + ladj
        return z, total

    def inverse(self, z, context=None):
        x, total = self.transforms[-1].inverse(z, context)
        for transform in reversed(self.transforms[:-1]):
            x, ladj = transform.inverse(x, context)
            total = total + ladj
        return x, total

    def generate(self, z, context=None):
        for transform in reversed(self.transforms):
            z = transform.generate(z, context)
        return z


class Inverse(Transform):
    """The given transform with its two directions exchanged."""

    def __init__(self, transform: Transform):
        super().__init__()
        if not transform.bijective:
            raise ValueError(f"Inverse needs a bijective transform, got {type(transform).__name__}")
        self.transform = transform

    def forward(self, x, context=None):
        return self.transform.inverse(x, context)

    def inverse(self, z, context=None):
        return self.transform.forward(z, context)

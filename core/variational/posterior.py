"""Flows that are sampled first and scored second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.distributions import make_base
from flowsuite.core.flow import Flow
from flowsuite.core.layers.amortized import AmortizedTransform
from flowsuite.core.layers.diagonal import DiagonalAffine
from flowsuite.core.transform import Compose, Inverse, Transform
from flowsuite.core.variational.families import FAMILIES

KINDS = ("gaussian", *FAMILIES)


class Posterior(Flow):
    """`z_K = f_K(...f_1(z_0))`, `z_0 = mean + exp(l) eps`, `log q(z_K) = log N(eps) - sum(l) - sum_k log|det J_k|`.

    The layers stand in their published direction, noise to sample, inside one `Inverse`: like every flow's, the
    transform of a posterior takes the sample to the noise, `log_prob` works at any point, and `rsample_and_log_prob`
    runs the layers as published and never inverts one.

    Example:
        >>> q = Posterior(2, "planar", n_layers=32)
        >>> z, log_q = q.rsample_and_log_prob(1024)     # (1024, 2), (1024,)
        >>> q.log_prob(torch.zeros(5, 2))               # (5,), by the inverse

    Args:
        dims: D.
        kind: "gaussian" (no layers), "planar", "radial", "orthogonal", "householder" or "triangular" (Sylvester),
            "iaf", "nice", "affine" (RealNVP couplings), "spline" (autoregressive, arXiv 1906.04032) or "cnf".
        n_layers: K.
        context_features: size C of a context (B, C) that the posterior is conditional on (amortised); 0 for none.
        gaussian: learn mean and scale of `z_0`, from the context if there is one; else `z_0` is standard noise.
        options: further arguments of the layers by name, see `flowsuite.core.variational.families`.
        base: "normal" or "logistic".
    """

    def __init__(
        self,
        dims: int,
        kind: str = "planar",
        n_layers: int = 16,
        context_features: int = 0,
        gaussian: bool = True,
        options: Mapping[str, Any] | None = None,
        base: str = "normal",
    ):
        if kind not in KINDS:
            raise ValueError(f"unknown kind of posterior {kind!r}: expected one of {', '.join(KINDS)}")
        if dims < 1 or n_layers < 1 or context_features < 0:
            raise ValueError(
                f"expected dims, n_layers >= 1 and context_features >= 0, got {dims}, {n_layers}, {context_features}"
            )
        options = dict(options or {})
        if kind == "gaussian":
            if options or not gaussian:
                raise ValueError('kind "gaussian" has no layers: it takes no options, and needs gaussian=True')
            layers = []
        else:
            try:
                layers = FAMILIES[kind](dims, n_layers, context_features, **options)
            except TypeError as error:
                raise ValueError(f"options of a posterior of kind {kind!r}: {error}") from None
        start = [DiagonalAffine(dims, context_features)] if gaussian else []
        super().__init__(Inverse(Compose([*start, *layers])), make_base(base, dims))
        self.context_features = context_features

    @property
    def layers(self) -> Compose:
        """Noise to sample."""
        return self.transform.transform

    def rsample_and_log_prob(
        self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """`n` samples, differentiable in the parameters, and their log-density in nats.

        (n, D) and (n,); with a context (B, C), n samples for each of its rows: (n, B, D) and (n, B).
        """
        if n < 1:
            raise ValueError(f"expected at least 1 sample, got n={n}")
        if context is None:
            noise = self.base.sample(n, generator=generator)
            z, ladj = push_samples(self.layers, noise, None)
            return z, self.base.log_prob(noise) - ladj
        rows = len(context)
        noise = self.base.sample(n * rows, generator=generator)
        z, ladj = push_samples(self.layers, noise.unflatten(0, (n, rows)), context)
        return z, self.base.log_prob(noise).unflatten(0, (n, rows)) - ladj

    def rsample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """The samples of `rsample_and_log_prob` alone."""
        return self.rsample_and_log_prob(n, context, generator)[0]


def push_samples(transform: Transform, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """`transform(z, context)` for several z of each row of the context: (S, B, D) and (B, C) to (S, B, D), (S, B).

    Parameters that an `AmortizedTransform` reads off the context are computed once a row; other layers see each row of
    the context S times. z may also be (N, D) without a context.
    """
    if isinstance(transform, Compose):
        z, total = push_samples(transform[0], z, context)
        for layer in transform.transforms[1:]:
            z, ladj = push_samples(layer, z, context)
            total = total + ladj
        return z, total
    if z.ndim == 2 or isinstance(transform, AmortizedTransform):
        return transform(z, context)
    samples = z.shape[0]
    flat, ladj = transform(z.flatten(0, 1), None if context is None else context.repeat(samples, 1))
    return flat.unflatten(0, (samples, -1)), ladj.unflatten(0, (samples, -1))

"""Masked autoregressive flow (arXiv 1705.07057) and inverse autoregressive flow (arXiv 1606.04934) on vectors."""

from __future__ import annotations

import math

from flowsuite.core.distributions import make_base
from flowsuite.core.flow import Flow
from flowsuite.core.layers.autoregressive import MaskedAutoregressive
from flowsuite.core.layers.batchnorm import MovingBatchNorm
from flowsuite.core.layers.elementwise import Affine, ElementwiseMap
from flowsuite.core.layers.permute import Permutation
from flowsuite.core.layers.scale import make_scale
from flowsuite.core.layers.spline import RationalQuadraticSpline
from flowsuite.core.nets.made import MADE
from flowsuite.core.transform import Compose, Inverse


class MAF(Flow):
    """A stack of masked autoregressive layers with the order of the features reversed between them.

    Example:
        >>> flow = MAF(6, n_layers=5, hidden_features=100)
        >>> flow.log_prob(x)            # (N,) nats, one pass through each network
        >>> flow.sample(16)             # (16, 6)

    Args:
        dims: D, size of a vector.
        n_layers: autoregressive layers.
        hidden_features: units of every hidden layer.
        num_blocks, residual: shape of each MADE.
        elementwise: "affine", `z = x * scale + shift`, or "spline" (RQ-NSF (AR), arXiv 1906.04032).
        scale: scale map of the affine layers; "softplus" as in nflows, "exp" as in the paper.
        num_bins, tail_bound: of the spline.
        min_bin_width, min_bin_height, min_derivative: of the spline.
        logit_divisor: divides the spline's width and height logits; None for `sqrt(hidden_features)`.
        batch_norm: moving batch norm between the layers, as in the paper.
        context_features: size of a context (N, context_features), 0 for none.
        direction: "maf" (density in one pass) or "iaf" (sampling in one pass).
        base: "normal" or "logistic".
    """

    def __init__(
        self,
        dims: int,
        n_layers: int = 5,
        hidden_features: int = 128,
        num_blocks: int = 2,
        residual: bool = True,
        elementwise: str = "affine",
        scale: str = "softplus",
        num_bins: int = 8,
        tail_bound: float = 3.0,
        min_bin_width: float = 1e-3,
        min_bin_height: float = 1e-3,
        min_derivative: float = 1e-3,
        logit_divisor: float | None = None,
        batch_norm: bool = False,
        context_features: int = 0,
        direction: str = "maf",
        base: str = "normal",
    ):
        if direction not in ("maf", "iaf"):
            raise ValueError(f'direction must be "maf" or "iaf", got {direction!r}')
        if elementwise not in ("affine", "spline"):
            raise ValueError(f'elementwise must be "affine" or "spline", got {elementwise!r}')
        if dims < 1 or n_layers < 1:
            raise ValueError(f"dims and n_layers must be at least 1, got {dims} and {n_layers}")

        def elementwise_map() -> ElementwiseMap:
            if elementwise == "affine":
                return Affine(make_scale(scale), shift_first=False)
            divisor = math.sqrt(hidden_features) if logit_divisor is None else logit_divisor
            return RationalQuadraticSpline(
                num_bins, tail_bound, min_bin_width, min_bin_height, min_derivative, logit_divisor=divisor
            )

        layers = []
        for i in range(n_layers):
            if i and batch_norm:
                layers.append(MovingBatchNorm(dims))
            if i:
                layers.append(Permutation.reverse(dims))
            mapping = elementwise_map()
            net = MADE(dims, mapping.n_params, hidden_features, num_blocks, residual, context_features)
            layer = MaskedAutoregressive(net, mapping)
            layers.append(layer if direction == "maf" else Inverse(layer))
        super().__init__(Compose(layers), make_base(base, dims))
        self.context_features = context_features

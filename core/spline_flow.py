"""Independent splines, one a dimension."""

from __future__ import annotations

from flowsuite.core.distributions import make_base
from flowsuite.core.flow import Flow
from flowsuite.core.layers.elementwise_transform import ElementwiseTransform
from flowsuite.core.layers.spline import RationalQuadraticSpline


class SplineFlow(Flow):
    """A factorial density: each dimension is bent by a rational-quadratic spline of its own (arXiv 1906.04032).

    Args:
        dims: size of a vector.
        num_bins, tail_bound, min_bin_width, min_bin_height, min_derivative: see `RationalQuadraticSpline`.
        base: "normal" or "logistic".
    """

    def __init__(
        self,
        dims: int,
        num_bins: int = 8,
        tail_bound: float = 3.0,
        min_bin_width: float = 1e-3,
        min_bin_height: float = 1e-3,
        min_derivative: float = 1e-3,
        base: str = "normal",
    ):
        spline = RationalQuadraticSpline(num_bins, tail_bound, min_bin_width, min_bin_height, min_derivative)
        super().__init__(ElementwiseTransform(dims, spline), make_base(base, dims))

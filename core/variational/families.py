"""The layers of each kind of posterior, in their published direction: noise to sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowsuite.core.layers.amortized_cnf import AmortizedCNF
from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.layers.elementwise import Additive, Affine, ElementwiseMap
from flowsuite.core.layers.iaf import InverseAutoregressive
from flowsuite.core.layers.permute import Permutation
from flowsuite.core.layers.planar import Planar
from flowsuite.core.layers.radial import Radial
from flowsuite.core.layers.reorder import Reverse
from flowsuite.core.layers.scale import TanhScale
from flowsuite.core.layers.spline import RationalQuadraticSpline
from flowsuite.core.layers.sylvester import Sylvester
from flowsuite.core.nets.mlp import MLP
from flowsuite.core.ode import Adaptive
from flowsuite.core.transform import Transform


def planar(
    dims: int, n_layers: int, context_features: int, activation: str = "tanh", negative_slope: float = 0.2
) -> list[Transform]:
    """`Planar`."""
    return [Planar(dims, n_layers, activation, negative_slope, context_features)]


def radial(dims: int, n_layers: int, context_features: int) -> list[Transform]:
    """`Radial`."""
    return [Radial(dims, n_layers, context_features)]


def orthogonal(dims: int, n_layers: int, context_features: int, columns: int | None = None) -> list[Transform]:
    """`Sylvester` with orthonormal columns."""
    return [Sylvester(dims, n_layers, "orthogonal", columns, context_features=context_features)]


def householder(dims: int, n_layers: int, context_features: int, reflections: int = 8) -> list[Transform]:
    """`Sylvester` with products of reflections."""
    return [Sylvester(dims, n_layers, "householder", None, reflections, context_features)]


def triangular(dims: int, n_layers: int, context_features: int) -> list[Transform]:
    """`Sylvester` with reversals."""
    return [Sylvester(dims, n_layers, "triangular", context_features=context_features)]


def _autoregressive(
    dims: int,
    n_layers: int,
    context_features: int,
    hidden_features: int,
    num_blocks: int,
    activation: str,
    make_map: Callable[[], ElementwiseMap | None],
) -> list[Transform]:
    """Inverse autoregressive layers with the order reversed before every second one (arXiv 1803.05649)."""
    layers: list[Transform] = []
    for k in range(n_layers):
        if k % 2:
            layers.append(Reverse())
        layer = InverseAutoregressive(dims, hidden_features, num_blocks, context_features, activation, make_map())
        layers.append(layer)
    return layers


def iaf(
    dims: int,
    n_layers: int,
    context_features: int,
    hidden_features: int = 320,
    num_blocks: int = 1,
    activation: str = "elu",
) -> list[Transform]:
    """`InverseAutoregressive`."""
    return _autoregressive(
        dims, n_layers, context_features, hidden_features, num_blocks, activation, make_map=lambda: None
    )


def spline(
    dims: int,
    n_layers: int,
    context_features: int,
    hidden_features: int = 64,
    num_blocks: int = 1,
    activation: str = "relu",
    num_bins: int = 8,
    tail_bound: float = 5.0,
    logit_divisor: float = 1.0,
) -> list[Transform]:
    """`InverseAutoregressive` with rational-quadratic splines on [-tail_bound, tail_bound].

    Density estimators divide the logits by `sqrt(hidden_features)`; small posteriors learn faster without.
    """

    def make_map() -> ElementwiseMap:
        return RationalQuadraticSpline(num_bins, tail_bound, logit_divisor=logit_divisor, identity_at_zero=True)

    return _autoregressive(dims, n_layers, context_features, hidden_features, num_blocks, activation, make_map)


def _couplings(
    dims: int, n_layers: int, context_features: int, hidden_features: int, make_map: Callable[[], ElementwiseMap]
) -> list[Transform]:
    """Couplings with a random permutation before each but the first (R&M compare with NICE mixed so)."""
    if dims < 2:
        raise ValueError(f"couplings need at least 2 dimensions, got {dims}")
    layers: list[Transform] = []
    given = (dims + 1) // 2
    for k in range(n_layers):
        if k:
            layers.append(Permutation.shuffle(dims) if dims > 2 else Permutation.reverse(dims))
        map = make_map()
        net = MLP(given, (dims - given) * map.n_params, [hidden_features], context_features, zero_init=True)
        layers.append(Coupling(net, map, conditional=bool(context_features)))
    return layers


def nice(dims: int, n_layers: int, context_features: int, hidden_features: int = 64) -> list[Transform]:
    """Additive couplings (arXiv 1410.8516)."""
    return _couplings(dims, n_layers, context_features, hidden_features, Additive)


def affine(dims: int, n_layers: int, context_features: int, hidden_features: int = 64) -> list[Transform]:
    """Affine couplings (arXiv 1605.08803), log-scales bounded by 2."""
    return _couplings(dims, n_layers, context_features, hidden_features, lambda: Affine(TanhScale(), shift_first=False))


def cnf(
    dims: int,
    n_layers: int,
    context_features: int,
    hidden: Sequence[int] = (512, 512),
    rank: int = 20,
    tolerance: float | None = None,
    eval_tolerance: float = 1e-5,
    end_time: float = 0.5,
) -> list[Transform]:
    """`AmortizedCNF` by dopri5 at `tolerance` in training (published 1e-5), by 8 steps of RK4 if None."""
    solver = None if tolerance is None else Adaptive(rtol=tolerance, atol=tolerance)
    evaluated = Adaptive(rtol=eval_tolerance, atol=eval_tolerance)
    sizes = {"hidden": hidden, "rank": rank, "end_time": end_time}
    return [AmortizedCNF(dims, n_layers, context_features, **sizes, solver=solver, eval_solver=evaluated)]


FAMILIES: dict[str, Callable[..., list[Transform]]] = {
    "planar": planar,
    "radial": radial,
    "orthogonal": orthogonal,
    "householder": householder,
    "triangular": triangular,
    "iaf": iaf,
    "nice": nice,
    "affine": affine,
    "spline": spline,
    "cnf": cnf,
}

DEFAULT_LAYERS = {
    "planar": 32,
    "radial": 32,
    "orthogonal": 8,
    "householder": 8,
    "triangular": 8,
    "iaf": 8,
    "nice": 8,
    "affine": 8,
    "spline": 4,
    "cnf": 1,
}

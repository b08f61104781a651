"""The inverse autoregressive layer of variational posteriors."""

from __future__ import annotations

from flowsuite.core.layers.autoregressive import MaskedAutoregressive
from flowsuite.core.layers.elementwise import ElementwiseMap, Gated
from flowsuite.core.nets.made import MADE


class InverseAutoregressive(MaskedAutoregressive):
    """`z'_i = g_i z_i + (1 - g_i) m_i` with `(m, s)_i = MADE(z_1..z_{i-1}, context)`, `g = sigmoid(s + 1)`.

    The IAF layer of arXiv 1606.04934 (eq. 14) as in the posteriors of arXiv 1803.05649. It is a `MaskedAutoregressive`
    that reads the noise: `forward` is the published direction, noise to sample, in one pass; the inverse goes feature
    by feature, every hidden unit computed once. log-det: `sum log g`.

    Args:
        dims: D.
        hidden_features: units of every hidden layer; published 320 and up to 1920.
        num_blocks: hidden layers after the first.
        context_features: size C of a context (B, C), added once through a linear map after the first activation; 0 for
            none.
        activation: of the MADE; published "elu".
        map: element-wise map in place of the gate, a `RationalQuadraticSpline` say.
    """

    def __init__(
        self,
        dims: int,
        hidden_features: int = 320,
        num_blocks: int = 1,
        context_features: int = 0,
        activation: str = "elu",
        map: ElementwiseMap | None = None,
    ):
        map = Gated() if map is None else map
        net = MADE(dims, map.n_params, hidden_features, num_blocks, False, context_features, activation, True)
        super().__init__(net, map)

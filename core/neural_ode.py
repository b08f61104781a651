"""The continuous normalizing flow of the Neural-ODE paper."""

from __future__ import annotations

import math

from flowsuite.core.distributions import StandardNormal
from flowsuite.core.flow import Flow
from flowsuite.core.layers.affine import Rescale
from flowsuite.core.layers.continuous import CNF
from flowsuite.core.nets.planar_field import PlanarField
from flowsuite.core.ode import Solver
from flowsuite.core.transform import Compose


class NeuralODE(Flow):
    """A CNF with a `PlanarField` (arXiv 1806.07366, section 4; the CNF example of torchdiffeq).

    Published settings are the defaults: 64 planar units, a hypernet of width 32, 10 units of time, base `N(0, 0.1 I)`,
    dopri5 at 1e-5, Adam 1e-3, 512 samples a step. There data is at t = 10 and noise at t = 0; here time is counted from
    the data, `f(s, x) = -f_published(10 - s, x)`, and a fixed factor makes the latent standard.

    Args:
        dim: number of features D.
        width, hidden: see `PlanarField`.
        base_variance: of the published base density.
        end_time, train_end_time, divergence, eval_divergence, solver, eval_solver: see `CNF`.
    """

    def __init__(
        self,
        dim: int = 2,
        width: int = 64,
        hidden: int = 32,
        base_variance: float = 0.1,
        end_time: float = 10.0,
        train_end_time: bool = False,
        divergence: str = "exact",
        eval_divergence: str = "exact",
        solver: Solver | None = None,
        eval_solver: Solver | None = None,
    ):
        if not base_variance > 0:
            raise ValueError(f"base_variance must be positive, got {base_variance}")
        field = PlanarField(dim, width, hidden)
        cnf = CNF(field, end_time, train_end_time, divergence, eval_divergence, solver, eval_solver)
        super().__init__(Compose([cnf, Rescale(factor=1 / math.sqrt(base_variance))]), StandardNormal(dim))

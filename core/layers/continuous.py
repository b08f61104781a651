"""The continuous layer: a flow given by an ordinary differential equation."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from flowsuite.core.divergence import DIVERGENCES, check_divergence, choose_divergence, sum_over_field
from flowsuite.core.nets.vector_field import VectorField
from flowsuite.core.numerics import at_least_float32, present_autocast, sum_over_event
from flowsuite.core.ode import Adaptive, Evaluations, FixedGrid, Solver, SolverError
from flowsuite.core.ode.solver import failure_list
from flowsuite.core.transform import Transform

PENALTIES = ("kinetic", "jacobian")


@dataclass
class Solution:
    """What a solve found.

    Attributes:
        z: the state at the other end, of the shape of x.
        ladj: log|det| of the map, (B, *leading): one number a particle, before the sum over points; None if not asked.
        penalties: name -> (B, *leading), integrals along the trajectory.
        divergence: the divergence that was used.
        evaluations: of the field; the backward count grows when gradients are taken.
        field: the field that was integrated.
    """

    z: Tensor
    ladj: Tensor | None
    penalties: dict[str, Tensor]
    divergence: str | None
    evaluations: Evaluations
    field: VectorField


@dataclass
class SolveLog:
    """The solves of the continuous layers inside a `record_solves()` block."""

    solutions: list[Solution] = dataclass_field(default_factory=list)

    @property
    def nfe_forward(self) -> int:
        return sum(solution.evaluations.forward for solution in self.solutions)

    @property
    def nfe_backward(self) -> int:
        return sum(solution.evaluations.backward for solution in self.solutions)

    def penalty(self, name: str) -> Tensor:
        """Sum over the solves of the penalty `name`, (B,)."""
        found = [sum_over_event(s.penalties[name]) for s in self.solutions if name in s.penalties]
        if not found:
            raise KeyError(f"no continuous layer recorded the penalty {name!r}: was it asked for?")
        return sum(found[1:], found[0])


_log: ContextVar[SolveLog | None] = ContextVar("solve_log", default=None)
_wanted: ContextVar[tuple[str, ...]] = ContextVar("wanted_penalties", default=())


@contextlib.contextmanager
def record_solves(penalties: tuple[str, ...] = ()) -> Iterator[SolveLog]:
    """Collects every solve of the block: its evaluations, and the integrals named in `penalties`.

    - "kinetic": `int |f|^2 dt`; "jacobian": `int |e'J|^2 dt`, an unbiased estimate of `int |J|_F^2 dt` (RNODE, arXiv
      2002.02798). They are carried along by the solver and do not steer its step.

    Example:
        >>> with record_solves(("kinetic",)) as log:
        ...     log_prob = flow.log_prob(x)
        >>> log.penalty("kinetic"), log.nfe_forward
    """
    for name in penalties:
        if name not in PENALTIES:
            raise ValueError(f"unknown penalty {name!r}: expected some of {', '.join(PENALTIES)}")
    log = SolveLog()
    tokens = _log.set(log), _wanted.set(tuple(penalties))
    try:
        yield log
    finally:
        _log.reset(tokens[0])
        _wanted.reset(tokens[1])


class CNF(Transform):
    """`z = x(T)` with `dx/dt = f(t, x; c)`, `x(0) = x`; `ladj = int_0^T tr(df/dx) dt` (arXiv 1806.07366, 1810.01367).

    Data is at t = 0 and noise at t = T. `inverse` integrates from T to 0, `generate` does so without a divergence. The
    end time `T = s^2` is learned unless `train_end_time` is off. State and log-determinant are float32 or better under
    any autocast; the field itself runs in lower precision only in training on a fixed grid: an error test would take
    the rounding for stiffness, and a likelihood that is reported is not to be rounded.

    x is (B, *event), or (B, N, D) for a field of single points (`field.event_dims == 1`), all moved by one context row:
    `solve` then tells the log-determinant of every point, `forward` their sum.

    Args:
        field: the right-hand side.
        end_time: T at the start of training.
        train_end_time: learn T.
        divergence: in training, one of `flowsuite.core.divergence.DIVERGENCES`, or "auto": exact where that is cheap.
        eval_divergence: the same in evaluation mode.
        solver: in training; 8 steps of RK4 if None.
        eval_solver: in evaluation mode; dopri5 at 1e-5 if None.
    """

    def __init__(
        self,
        field: VectorField,
        end_time: float = 1.0,
        train_end_time: bool = True,
        divergence: str = "auto",
        eval_divergence: str = "auto",
        solver: Solver | None = None,
        eval_solver: Solver | None = None,
    ):
        super().__init__()
        if not 0 < end_time < math.inf:
            raise ValueError(f"end_time must be positive, got {end_time}")
        self.field = field
        self.sqrt_end_time = nn.Parameter(torch.tensor(math.sqrt(end_time)), requires_grad=train_end_time)
        self.divergence, self.eval_divergence = check_divergence(divergence), check_divergence(eval_divergence)
        self.solver, self.eval_solver = solver or FixedGrid(), eval_solver or Adaptive()

    def extra_repr(self) -> str:
        return (
            f"end_time={self.end_time.item():.4g}, divergence={self.divergence}, "
            f"eval_divergence={self.eval_divergence}, solver={self.solver}, eval_solver={self.eval_solver}"
        )

    @property
    def end_time(self) -> Tensor:
        return self.sqrt_end_time.square()

    def divergence_for(self, x: Tensor) -> str:
        """The divergence that a solve of `x` takes in the present mode."""
        return self._resolve(self.divergence if self.training else self.eval_divergence, x)

    def _resolve(self, divergence: str, x: Tensor) -> str:
        if divergence == "auto" and "jacobian" in _wanted.get():
            return "forward_rademacher"  # its product is what that penalty needs
        return choose_divergence(divergence, self.field, x.shape[1:], self.training)

    def solve(
        self,
        x: Tensor,
        context: Tensor | None = None,
        reverse: bool = False,
        with_ladj: bool = True,
        divergence: str | None = None,
        solver: Solver | None = None,
        probe: Tensor | None = None,
    ) -> Solution:
        """One solve, with everything that can be known of it.

        Args:
            x: the state to start from, (B, ..., *event).
            context: (B, C) or None.
            reverse: from T to 0.
            with_ladj: integrate the divergence too.
            divergence, solver: instead of those of the present mode.
            probe: of a stochastic divergence, of the shape of x (of its code, for "bottleneck"); drawn if None.
        """
        if not x.numel():
            raise ValueError(f"expected at least one example, got a batch of shape {tuple(x.shape)}")
        x = at_least_float32(x)
        divergence = self._resolve(divergence, x) if divergence else self.divergence_for(x)
        wanted = _wanted.get() if with_ladj else ()
        chosen = solver or (self.solver if self.training else self.eval_solver)
        autocast = present_autocast(x, allowed=self.training and chosen.tolerates_rounding)
        with torch.autocast(**autocast):
            condition = self.field.condition(context)
        dynamics = Dynamics(self.field, condition, autocast)
        if with_ladj:
            estimator = DIVERGENCES[divergence]
            probe = estimator.probe(x, self.field) if probe is None else probe
            needs_product = "jacobian" in wanted and not estimator.gives_product
            spare = DIVERGENCES["forward_rademacher"].probe(x) if needs_product else None
            dynamics = replace(dynamics, divergence=divergence, probe=probe, spare_probe=spare, penalties=wanted)
        end = self.end_time.to(x.dtype)
        times = (end, torch.zeros_like(end)) if reverse else (torch.zeros_like(end), end)
        evaluations = Evaluations()
        failures = failure_list()
        try:
            z, integrals = chosen.solve(dynamics, x, *times, evaluations)
        except SolverError as error:
            if failures is None:
                raise
            failures.append(error)
            z, integrals = dynamics.void(x, end)
        evaluations.in_backward = True
        solution = Solution(
            z=z,
            ladj=integrals[0] if with_ladj else None,
            penalties=dict(zip(wanted, integrals[1:], strict=True)),
            divergence=divergence if with_ladj else None,
            evaluations=evaluations,
            field=self.field,
        )
        log = _log.get()
        if log is not None:
            log.solutions.append(solution)
        return solution

    def forward(self, x, context=None):
        solution = self.solve(x, context)
        return solution.z, sum_over_event(solution.ladj)

    def inverse(self, z, context=None):
        solution = self.solve(z, context, reverse=True)
        return solution.z, sum_over_event(solution.ladj)

    def generate(self, z, context=None):
        return self.solve(z, context, reverse=True, with_ladj=False).z


def set_eval_solver(module: nn.Module, solver: Solver) -> None:
    """Every continuous layer of `module` evaluates and generates with `solver` from now on."""
    layers = [layer for layer in module.modules() if isinstance(layer, CNF)]
    if not layers:
        raise ValueError(f"a solver was given, but {type(module).__name__} has no continuous layer")
    for layer in layers:
        layer.eval_solver = solver


@dataclass(frozen=True)
class Dynamics:
    """The right-hand side of one solve: the field with its condition, and the integrands that were asked for.

    Integrands, in order: the divergence if there is one, then the penalties. `autocast` holds in the backward pass too,
    wherever that runs.
    """

    field: VectorField
    condition: Any
    autocast: dict[str, Any]
    divergence: str | None = None
    probe: Tensor | None = None
    spare_probe: Tensor | None = None
    penalties: tuple[str, ...] = ()

    def zero_integrals(self, x: Tensor) -> tuple[Tensor, ...]:
        zero = x.new_zeros(x.shape[: x.ndim - self.field.event_dims])
        return (zero,) * (len(self.penalties) + (self.divergence is not None))

    def with_condition(self, condition: Any) -> Dynamics:
        return replace(self, condition=condition)

    def __call__(self, t: Tensor, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        with torch.autocast(**self.autocast):
            return self._evaluate(t, x)

    def _evaluate(self, t: Tensor, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        if self.divergence is None:
            return self.field(t, x, self.condition).to(x.dtype), ()
        estimate = DIVERGENCES[self.divergence]
        f, divergence, product = estimate(self.field, t, x, self.condition, self.probe)
        if self.spare_probe is not None:
            product = self.field.jvp(t, x, self.spare_probe, self.condition)[1]
        squares = {"kinetic": f, "jacobian": product}
        penalties = (sum_over_field(at_least_float32(squares[name]).square(), self.field) for name in self.penalties)
        return f.to(x.dtype), (divergence.to(x.dtype), *(penalty.to(x.dtype) for penalty in penalties))

    def void(self, x: Tensor, end: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What a solve that failed gives: NaN, with a NaN gradient for everything that the solve depends on."""
        leaves = [end, *self.field.parameters(), *tree_leaves(self.condition)]
        nan = math.nan * sum(leaf.sum() for leaf in leaves if isinstance(leaf, Tensor))
        nan = nan.to(x.dtype)
        return x + nan, tuple(zero + nan for zero in self.zero_integrals(x))

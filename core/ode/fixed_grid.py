"""Runge-Kutta methods on a grid that is known beforehand: discretise, then optimise."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from flowsuite.core.numerics import in_torch_func
from flowsuite.core.ode.recompute import solve_recomputing, walk
from flowsuite.core.ode.solver import Evaluations, RightHandSide, Solver
from flowsuite.core.ode.tableaux import TABLEAUX


class FixedGrid(Solver):
    """A fixed number of steps of an explicit Runge-Kutta method, differentiated step by step.

    The gradient is that of the discrete computation, exactly. With `checkpoint` only the state at every step is kept
    and the step is computed again on the way back: memory of one step, for a third more evaluations. Choose the grid by
    `steps` (equal ones, no matter how the end time moves) or by `step_size` (grid `t0 + k h`, the last step
    shortened to end at `t1`, which needs the end time on the host).

    Args:
        method: "euler", "midpoint", "heun", "rk4" (classical) or "rk4_38" (the 3/8 rule, which torchdiffeq calls rk4).
        steps: number of steps.
        step_size: or the size of a step.
        checkpoint: recompute every step in the backward pass.
        compile: compile the step with `torch.compile`; pays off after a few hundred solves of the same shape.
    """

    def __init__(
        self,
        method: str = "rk4",
        steps: int | None = None,
        step_size: float | None = None,
        checkpoint: bool = True,
        compile: bool = False,
    ):
        if method not in TABLEAUX:
            raise ValueError(f"unknown method {method!r}: expected one of {', '.join(TABLEAUX)}")
        if steps is None and step_size is None:
            steps = 8
        if steps is not None and step_size is not None:
            raise ValueError(f"give steps or step_size, not both: got steps={steps}, step_size={step_size}")
        if steps is not None and steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        if step_size is not None and not 0 < step_size < math.inf:
            raise ValueError(f"step_size must be positive, got {step_size}")
        self.method, self.steps, self.step_size = method, steps, step_size
        self.checkpoint, self.compile = checkpoint, compile

    def refined(self, factor: float) -> FixedGrid:
        steps = None if self.steps is None else max(1, round(self.steps * factor))
        step_size = None if self.step_size is None else self.step_size / factor
        return FixedGrid(self.method, steps, step_size, self.checkpoint, self.compile)

    @property
    def stages(self) -> int:
        """Evaluations in a step."""
        return len(TABLEAUX[self.method].nodes)

    def grid(self, t0: Tensor, t1: Tensor) -> list[tuple[Tensor, Tensor]]:
        """`(t, h)` of every step."""
        if self.steps is not None:
            h = (t1 - t0) / self.steps
            return [(t0 + i * h, h) for i in range(self.steps)]
        length = (t1 - t0).item()
        count = max(1, math.ceil(abs(length) / self.step_size - 1e-9))
        h = torch.full_like(t0.detach(), math.copysign(self.step_size, length))
        starts = [t0 + i * h for i in range(count)]
        return [(t, h) for t in starts[:-1]] + [(starts[-1], t1 - starts[-1])]

    def solve(self, rhs: RightHandSide, x: Tensor, t0: Tensor, t1: Tensor, evaluations: Evaluations):
        chosen = compiled_step() if self.compile else runge_kutta_step

        def step(rhs, t, h, x):
            evaluations.count(self.stages)
            return chosen(self.method, rhs, t, h, x)

        if self.checkpoint and torch.is_grad_enabled() and not in_torch_func():
            return solve_recomputing(step, self.grid, rhs, x, t0, t1, evaluations)
        return walk(step, self.grid(t0, t1), rhs, x)


def runge_kutta_step(
    method: str, rhs: RightHandSide, t: Tensor, h: Tensor, x: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`(x at t + h, increments of the integrals)`."""
    tableau = TABLEAUX[method]
    slopes, integrands = [], []
    for node, row in zip(tableau.nodes, tableau.stages, strict=True):
        stage = x if not row else x + h * weighted_sum(row, slopes)
        slope, quantities = rhs(t + node * h, stage)
        slopes.append(slope)
        integrands.append(quantities)
    increments = tuple(h * weighted_sum(tableau.weights, values) for values in zip(*integrands, strict=True))
    return x + h * weighted_sum(tableau.weights, slopes), increments


def weighted_sum(weights: tuple[float, ...], tensors: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    terms = [
        tensor if weight == 1 else weight * tensor for weight, tensor in zip(weights, tensors, strict=True) if weight
    ]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


@functools.cache
def compiled_step():
    return torch.compile(runge_kutta_step)

"""Adaptive solves by torchdiffeq, with gradients by backpropagation or by the adjoint equation."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from flowsuite.core.numerics import refuse_torch_func
from flowsuite.core.ode.solver import (
    Evaluations,
    RightHandSide,
    Solver,
    SolverError,
    detached_copy,
    failure_list,
    refuse_second_derivatives,
)

METHODS = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")


class Adaptive(Solver):
    """Embedded Runge-Kutta methods whose step follows an error estimate (torchdiffeq).

    The error test takes the state and the first integral (the log-determinant); further integrals do not steer the
    step. No step goes past the end, forward or backward. One step size serves the whole batch, so that a result
    depends, within the tolerance, on the other examples.

    Args:
        method: "dopri5" (Dormand-Prince 5(4)), "dopri8", "bosh3", "fehlberg2" or "adaptive_heun".
        rtol, atol: tolerances of the error test; below about 1e-6 float32 only burns evaluations.
        adjoint: gradients by solving the adjoint equation backwards (arXiv 1806.07366; memory of one evaluation), else
            by backpropagation through every step.
        seminorm: leave the gradients of parameters out of the adjoint's error test (arXiv 2009.09457).
        max_nfe: evaluations of a solve, and of its backward pass, above which it is given up.

    Raises:
        SolverError: in `solve` or in the backward pass, where `max_nfe` is exceeded or the step size vanishes.
    """

    tolerates_rounding = False

    def __init__(
        self,
        method: str = "dopri5",
        rtol: float = 1e-5,
        atol: float = 1e-5,
        adjoint: bool = True,
        seminorm: bool = True,
        max_nfe: int = 10_000,
    ):
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}: expected one of {', '.join(METHODS)}")
        if not (rtol > 0 and atol > 0):
            raise ValueError(f"tolerances must be positive, got rtol={rtol}, atol={atol}")
        if max_nfe < 1:
            raise ValueError(f"max_nfe must be at least 1, got {max_nfe}")
        self.method, self.rtol, self.atol = method, rtol, atol
        self.adjoint, self.seminorm, self.max_nfe = adjoint, seminorm, max_nfe

    def refined(self, factor: float) -> Adaptive:
        rtol, atol = self.rtol / factor, self.atol / factor
        return Adaptive(self.method, rtol, atol, self.adjoint, self.seminorm, self.max_nfe)

    def solve(self, rhs: RightHandSide, x: Tensor, t0: Tensor, t1: Tensor, evaluations: Evaluations):
        refuse_torch_func("an adaptive solver", "take FixedGrid(steps=...)")
        if torch.equal(t0, t1):
            return x, rhs.zero_integrals(x)
        times = torch.stack((t0, t1))
        parameters = [p for p in rhs.field.parameters() if p.requires_grad]
        copy, leaves, copies = detached_copy(rhs)
        inputs = (x, times, *parameters, *leaves)
        if self.adjoint and torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
            solution = AdjointSolve.apply(self, copy, copies, evaluations, len(parameters), *inputs)
        else:
            solution = self._integrate(rhs, x, times, evaluations)
        return solution[0], tuple(solution[1:])

    def _integrate(
        self,
        rhs: RightHandSide,
        x: Tensor,
        times: Tensor,
        evaluations: Evaluations,
        adjoint_parameters: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, ...]:
        """`(x(t1), *integrals)`, through torchdiffeq's adjoint if its parameters are given."""
        import torchdiffeq

        state = (x, *rhs.zero_integrals(x))
        options = {"norm": steering_norm, "step_t": times[1:].detach()}
        arguments = {"rtol": self.rtol, "atol": self.atol, "method": self.method, "options": options}
        function = self._guarded(rhs, evaluations)
        try:
            if adjoint_parameters is None:
                solution = torchdiffeq.odeint(function, state, times, **arguments)
            else:
                backwards = {"step_t": times[:1].detach()} | ({"norm": "seminorm"} if self.seminorm else {})
                solution = torchdiffeq.odeint_adjoint(
                    function,
                    state,
                    times,
                    **arguments,
                    adjoint_params=adjoint_parameters,
                    adjoint_options=backwards,
                )
        except AssertionError as error:
            raise explain(error, self) from None
        return tuple(part[-1] for part in solution)

    def _guarded(self, rhs: RightHandSide, evaluations: Evaluations) -> Callable:
        def function(t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            evaluations.count()
            spent = evaluations.backward if evaluations.in_backward else evaluations.forward
            if spent > self.max_nfe:
                raise SolverError(
                    f"{self.method} needed more than max_nfe={self.max_nfe} evaluations at tolerance "
                    f"rtol={self.rtol}, atol={self.atol}: the field is stiff, loosen the tolerance or regularise it"
                )
            slope, integrands = rhs(t, state[0])
            return (slope, *integrands)

        return function


def steering_norm(state: tuple[Tensor, ...]) -> Tensor:
    """The larger of the root mean squares of the state and of its first integral."""
    norms = [part.abs().pow(2).mean().sqrt() for part in state[:2]]
    return norms[0] if len(norms) == 1 else torch.maximum(*norms)


def explain(error: AssertionError, solver: Adaptive) -> SolverError:
    text = str(error)
    if "underflow in dt" in text or "non-finite" in text:
        reason = "the step size vanished: the field is stiff, or its values are not finite"
        return SolverError(f"{solver.method} gave up ({text}): {reason}")
    return SolverError(f"{solver.method} gave up: {text or 'a check inside torchdiffeq failed'}")


class AdjointSolve(torch.autograd.Function):
    """A solve whose gradient comes from torchdiffeq's adjoint, also for what the right-hand side closes over."""

    @staticmethod
    def forward(ctx, solver, rhs, copies, evaluations, n_parameters, x, times, *rest):
        parameters = rest[:n_parameters]
        with torch.enable_grad():
            x, times = (tensor.detach().requires_grad_(tensor.requires_grad) for tensor in (x, times))
            solution = solver._integrate(rhs, x, times, evaluations, (*parameters, *copies))
        ctx.solver, ctx.evaluations, ctx.failures = solver, evaluations, failure_list()
        ctx.solution, ctx.inputs = solution, (x, times, *parameters, *copies)
        return tuple(part.detach() for part in solution)

    @staticmethod
    def backward(ctx, *gradients):
        refuse_second_derivatives()
        wanted = [tensor for tensor in ctx.inputs if tensor.requires_grad]
        outputs = [(part, g) for part, g in zip(ctx.solution, gradients, strict=True) if part.requires_grad]
        ctx.evaluations.in_backward = True
        try:
            parts, weights = zip(*outputs, strict=True)
            found = iter(torch.autograd.grad(parts, wanted, weights, retain_graph=True, allow_unused=True))
        except (AssertionError, SolverError) as error:
            error = error if isinstance(error, SolverError) else explain(error, ctx.solver)
            if ctx.failures is None:
                raise error from None
            ctx.failures.append(error)
            found = (torch.full_like(tensor, math.nan) for tensor in wanted)
        return *[None] * 5, *(next(found) if tensor.requires_grad else None for tensor in ctx.inputs)

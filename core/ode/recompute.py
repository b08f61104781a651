"""Backpropagation through a fixed grid that keeps only the state at every step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flowsuite.core.ode.solver import Evaluations, RightHandSide, detached_copy, refuse_second_derivatives

Grid = list[tuple[Tensor, Tensor]]
Step = Callable[[RightHandSide, Tensor, Tensor, Tensor], tuple[Tensor, tuple[Tensor, ...]]]


def walk(
    step: Step, grid: Grid, rhs: RightHandSide, x: Tensor, states: list[Tensor] | None = None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`(x, integrals)` after all steps `(t, h)` of the grid; the state before each is added to `states`."""
    totals = None
    for t, h in grid:
        if states is not None:
            states.append(x)
        x, increments = step(rhs, t, h, x)
        totals = increments if totals is None else tuple(a + b for a, b in zip(totals, increments, strict=True))
    return x, totals


def solve_recomputing(
    step: Step,
    grid: Callable[[Tensor, Tensor], Grid],
    rhs: RightHandSide,
    x: Tensor,
    t0: Tensor,
    t1: Tensor,
    evaluations: Evaluations,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Steps along `grid(t0, t1)`; the backward pass repeats each step, with a graph, from the state before it."""
    copy, leaves, copies = detached_copy(rhs)
    parameters = [p for p in rhs.field.parameters() if p.requires_grad]
    solution = RecomputedSolve.apply(
        step, grid, copy, copies, evaluations, len(parameters), x, t0, t1, *parameters, *leaves
    )
    return solution[0], tuple(solution[1:])


class RecomputedSolve(torch.autograd.Function):
    """`torch.utils.checkpoint` would repeat the step for every autograd call inside it (a trace by reverse passes)."""

    @staticmethod
    def forward(ctx, step, grid, rhs, copies, evaluations, n_parameters, x, t0, t1, *rest):
        states = []
        x, totals = walk(step, grid(t0, t1), rhs, x, states)
        ctx.step, ctx.grid, ctx.rhs, ctx.evaluations = step, grid, rhs, evaluations
        ctx.closed_over = [*rest[:n_parameters], *copies]
        ctx.save_for_backward(t0, t1, *states)
        return x, *totals

    @staticmethod
    def backward(ctx, grad_x, *grad_integrals):
        refuse_second_derivatives()
        t0, t1, *states = ctx.saved_tensors
        ctx.evaluations.in_backward = True
        with torch.enable_grad():
            ends = [t.detach().requires_grad_() for t in (t0, t1)]
            grid = ctx.grid(*ends)
        grads, grid_grads = [None] * len(ctx.closed_over), []
        for (t, h), state in zip(reversed(grid), reversed(states), strict=True):
            with torch.enable_grad():
                inputs = [tensor.detach().requires_grad_() for tensor in (state, t, h)]
                out, increments = ctx.step(ctx.rhs, inputs[1], inputs[2], inputs[0])
            parts = [
                (p, g) for p, g in zip((out, *increments), (grad_x, *grad_integrals), strict=True) if p.requires_grad
            ]
            outputs, weights = zip(*parts, strict=True)
            found = torch.autograd.grad(outputs, (*inputs, *ctx.closed_over), weights, allow_unused=True)
            grad_x = found[0]
            grid_grads += [(t, found[1]), (h, found[2])]
            grads = [
                new if old is None else old if new is None else old + new
                for old, new in zip(grads, found[3:], strict=True)
            ]
        reached = [(point, g) for point, g in grid_grads if point.requires_grad and g is not None]
        points, weights = zip(*reached, strict=True)
        end_grads = torch.autograd.grad(points, ends, weights, allow_unused=True)
        needed = ctx.needs_input_grad[6:]
        everything = (grad_x, *end_grads, *grads)
        return *[None] * 6, *(g if need else None for g, need in zip(everything, needed, strict=True))

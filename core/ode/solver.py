"""What every solver of the suite fulfils."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten


class SolverError(RuntimeError):
    """An initial value problem that could not be solved as asked: too many evaluations, or a vanishing step."""


_failures: ContextVar[list[SolverError] | None] = ContextVar("solver_failures", default=None)


@contextlib.contextmanager
def collect_failures() -> Iterator[list[SolverError]]:
    """Solves begun in this block give NaN instead of raising, forward and backward, and their errors are collected.

    A step of several processes can then be finished by all of them, and given up by all of them: an error in the midst
    of one process's step would leave the others waiting.
    """
    failures: list[SolverError] = []
    token = _failures.set(failures)
    try:
        yield failures
    finally:
        _failures.reset(token)


def failure_list() -> list[SolverError] | None:
    """Where a solve that begins now notes its failure; None if it is to raise."""
    return _failures.get()


@dataclass
class Evaluations:
    """Evaluations of the right-hand side (NFE) of one solve, its backward pass counted apart."""

    forward: int = 0
    backward: int = 0
    in_backward: bool = field(default=False, repr=False)

    def count(self, n: int = 1) -> None:
        if self.in_backward:
            self.backward += n
        else:
            self.forward += n


class RightHandSide(Protocol):
    """`rhs(t, x) -> (dx/dt, integrands)`.

    The integrands are tensors (the divergence, say) whose integrals along the trajectory are asked for: they depend on
    the state but do not act on it.

    Attributes:
        field: its parameters receive gradients.
        condition: nested tuples of tensors that also do.
    """

    field: nn.Module
    condition: Any

    def __call__(self, t: Tensor, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]: ...

    def zero_integrals(self, x: Tensor) -> tuple[Tensor, ...]:
        """The integrals where they start, of the shapes that they have for a state `x`."""
        ...

    def with_condition(self, condition: Any) -> RightHandSide: ...


class Solver:
    """Integrates `dx/dt = f(t, x)` and any number of integrals along the way.

    Stateless: one solver may serve many flows. Equal settings make equal solvers. `tolerates_rounding` is False where
    an error test would take a right-hand side in low precision for a stiff one.
    """

    tolerates_rounding = True

    def solve(
        self, rhs: RightHandSide, x: Tensor, t0: Tensor, t1: Tensor, evaluations: Evaluations
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`(x(t1), integrals from t0 to t1)`.

        Args:
            rhs: the right-hand side.
            x: the state at `t0`.
            t0, t1: scalar tensors, in either order; gradients reach them.
            evaluations: where evaluations are counted.
        """
        raise NotImplementedError

    def refined(self, factor: float) -> Solver:
        """The same method with `factor` times as many steps, or a tolerance lower by it; coarser below 1."""
        raise NotImplementedError(f"{type(self).__name__} must define refined(factor) -> Solver")

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({settings})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None


def refuse_second_derivatives() -> None:
    """Called at the head of a backward pass that computes numbers, not a graph: it would lose them silently."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "second derivatives of a solve need a graph of its gradient: take FixedGrid(checkpoint=False) or "
            "Adaptive(adjoint=False)"
        )


def detached_copy(rhs: RightHandSide) -> tuple[RightHandSide, list[Tensor], list[Tensor]]:
    """`(rhs', originals, copies)`: the tensors of the condition that need gradients, replaced by detached copies.

    A solve that computes gradients by itself differentiates with respect to the copies, and hands the result to the
    originals: nothing behind them is reached from inside, though they may share parameters with the field.
    """
    leaves, spec = tree_flatten(rhs.condition)
    wanted = [isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves]
    swapped = [leaf.detach().requires_grad_() if want else leaf for leaf, want in zip(leaves, wanted, strict=True)]
    originals = [leaf for leaf, want in zip(leaves, wanted, strict=True) if want]
    copies = [leaf for leaf, want in zip(swapped, wanted, strict=True) if want]
    return rhs.with_condition(tree_unflatten(swapped, spec)), originals, copies

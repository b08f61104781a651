"""Solvers by a short name, for command lines."""

from __future__ import annotations

from flowsuite.core.ode.adaptive import METHODS, Adaptive
from flowsuite.core.ode.fixed_grid import FixedGrid
from flowsuite.core.ode.solver import Solver
from flowsuite.core.ode.tableaux import TABLEAUX


def solver_by_name(text: str) -> Solver:
    """`METHOD:STEPS` for a fixed grid, `METHOD:TOLERANCE` (relative and absolute) for an adaptive method.

    Example:
        >>> solver_by_name("euler:4"), solver_by_name("dopri5:1e-7")
    """
    method, colon, number = text.partition(":")
    if method not in (*TABLEAUX, *METHODS):
        raise ValueError(f"unknown solver {method!r}: expected one of {', '.join((*TABLEAUX, *METHODS))}")
    try:
        if method in TABLEAUX:
            return FixedGrid(method, steps=int(number) if colon else None)
        return Adaptive(method, *([float(number)] * 2 if colon else []))
    except ValueError as error:
        if "literal" not in str(error) and "convert" not in str(error):
            raise
        kind = "a number of steps" if method in TABLEAUX else "a tolerance"
        raise ValueError(f"solver {text!r}: expected {kind} after the colon, got {number!r}") from None

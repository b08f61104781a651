"""Solvers of ordinary differential equations for continuous flows."""

from flowsuite.core.ode.adaptive import Adaptive
from flowsuite.core.ode.fixed_grid import FixedGrid
from flowsuite.core.ode.named import solver_by_name
from flowsuite.core.ode.solver import Evaluations, Solver, SolverError, collect_failures

__all__ = ["Adaptive", "Evaluations", "FixedGrid", "Solver", "SolverError", "collect_failures", "solver_by_name"]

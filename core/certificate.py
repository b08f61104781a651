"""How far a likelihood of a continuous flow can be trusted: solver, trace estimate and round trip."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from flowsuite.core.flow import Flow
from flowsuite.core.layers.continuous import CNF, record_solves
from flowsuite.core.ode import Adaptive, Solver, SolverError

NOISELESS = ("exact", "brute_force")
DRAWS = (torch.rand_like, torch.randn_like, torch.randint_like)
LogProb = Callable[[nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class Sweep:
    """One setting of the solver.

    Attributes:
        solver: method and tolerance or steps, of the first continuous layer; "float64" where computed in that.
        log_prob: mean over the batch, nats; NaN where the solver gave up.
        nfe: evaluations of all fields.
    """

    solver: str
    log_prob: float
    nfe: int


@dataclass(frozen=True)
class Certificate:
    """What one batch says of the likelihoods of a flow. All errors in nats per example.

    Attributes:
        examples: number of examples.
        sweep: from the coarsest solver to the finest.
        used: index in `sweep` of the setting that the figures are computed with.
        solver_error: mean over the examples of |log p - log p of the finest solver|.
        divergence: how the trace is computed.
        standard_error: of the mean log p over these examples with one probe each, from the variance of every example's
            log p between probes; 0 for an exact trace.
        probes: probes drawn for it.
        round_trip: root mean square of `x - decode(encode(x))` in the unit of x; None where the flow has no inverse.
    """

    examples: int
    sweep: tuple[Sweep, ...]
    used: int
    solver_error: float
    divergence: str
    standard_error: float
    probes: int
    round_trip: float | None

    @property
    def error(self) -> float:
        """Solver error and twice the standard error."""
        return self.solver_error + 2 * self.standard_error

    def error_of_mean(self, examples: int) -> float:
        """`error` of a mean over so many examples like these: the more there are, the less the probes matter."""
        return self.solver_error + 2 * self.standard_error * math.sqrt(self.examples / examples)

    def is_tight(self, threshold: float = 0.01, round_trip: float = 1e-2, examples: int | None = None) -> bool:
        """Whether the error of a mean over `examples` (these alone if None) is at most `threshold` nats, and the round
        trip error at most `round_trip`."""
        closed = self.round_trip is None or self.round_trip <= round_trip
        return self.error_of_mean(examples or self.examples) <= threshold and closed  # NaN is not tight

    def __str__(self) -> str:
        lines = [f"likelihood certificate, {self.examples} examples, nats per example"]
        for i, row in enumerate(self.sweep):
            mark = "  <- used" if i == self.used else ""
            lines.append(f"  {row.solver:<40} log p {row.log_prob:12.5f}  NFE {row.nfe:6d}{mark}")
        lines.append(f"  {'solver error':<40} {self.solver_error:18.2e}")
        noise = f"{self.standard_error:.2e} ({self.probes} probes)"
        trace = noise if self.probes else "0 (exact trace)"
        lines.append(f"  {'standard error, ' + self.divergence:<40} {trace:>18}")
        round_trip = "no inverse" if self.round_trip is None else f"{self.round_trip:.2e}"
        lines.append(f"  {'round trip, RMS':<40} {round_trip:>18}")
        return "\n".join(lines)


def describe_solver(solver: Solver) -> str:
    if isinstance(solver, Adaptive):
        return f"{solver.method} rtol {solver.rtol:.0e} atol {solver.atol:.0e}"
    grid = f"{solver.steps} steps" if solver.steps is not None else f"step {solver.step_size:.3g}"
    return f"{solver.method} {grid}"


@contextlib.contextmanager
def override_solver(module: nn.Module, change: Callable[[Solver], Solver]) -> Iterator[None]:
    """Every continuous layer evaluates with `change(its eval_solver)` inside the block."""
    layers = [layer for layer in module.modules() if isinstance(layer, CNF)]
    kept = [layer.eval_solver for layer in layers]
    try:
        for layer, solver in zip(layers, kept, strict=True):
            layer.eval_solver = change(solver)
        yield
    finally:
        for layer, solver in zip(layers, kept, strict=True):
            layer.eval_solver = solver


@contextlib.contextmanager
def seeded(x: Tensor, seed: int) -> Iterator[None]:
    """Random numbers from `seed` inside the block, the generators left as they were."""
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(seed)
        yield


class SameDraws(TorchFunctionMode):
    """Random tensors like one of float64 are drawn in float32: those that a float32 computation draws."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in DRAWS and args[0].dtype == torch.float64:
            return func(args[0].float(), *args[1:], **(kwargs or {})).double()
        return func(*args, **(kwargs or {}))


def in_float64(module: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
    """A copy of `module` and `x` in float64."""
    return copy.deepcopy(module).double(), x.double()


@torch.no_grad()
def certify(
    module: nn.Module,
    log_prob: LogProb,
    x: Tensor,
    round_trip: Callable[[], Tensor] | None = None,
    factors: tuple[float, ...] = (),
    probes: int = 8,
) -> Certificate:
    """The certificate of anything that computes likelihoods with the continuous layers of `module`.

    Args:
        module: in evaluation mode.
        log_prob: (module, x) -> (B,), in nats. It is called with `module`, and with a copy of it and `x` in float64:
            the finest solver shows nothing below the rounding errors of the precision that it is run in.
        x: the examples, (B, ...). Integers, and devices without float64, keep the precision of `module`.
        round_trip: () -> the examples mapped to latents and back.
        factors: refinements of the solver beside 1; by default 1/10 and 10 for adaptive solvers, 1/2, 2 and 4 for fixed
            grids. The same random numbers are used for all.
        probes: independent probes for the standard error of a stochastic trace.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, CNF)]
    if not layers:
        raise ValueError("a certificate needs at least one continuous layer, got none")
    if module.training:
        raise RuntimeError("a certificate is of a model in evaluation mode: call eval() first")
    if probes < 2:
        raise ValueError(f"probes must be at least 2, got {probes}")
    adaptive = isinstance(layers[0].eval_solver, Adaptive)
    factors = tuple(sorted({1.0, *(factors or ((0.1, 10.0) if adaptive else (0.5, 2.0, 4.0)))}))
    if factors[-1] <= 1:
        raise ValueError(f"factors must have one above 1 to compare with, got {factors}")
    widens = x.dtype.is_floating_point and x.dtype != torch.float64 and x.device.type in ("cpu", "cuda")
    rows, values, divergences = [], [], set()
    for factor in factors:
        shown = describe_solver(layers[0].eval_solver.refined(factor))
        if widens and factor == factors[-1]:
            with SameDraws():
                row, value, found = measure(*in_float64(module, x), log_prob, f"{shown}, float64", factor)
        else:
            row, value, found = measure(module, x, log_prob, shown, factor)
        rows.append(row)
        values.append(value)
        divergences |= found
    used = factors.index(1.0)
    noisy = sorted(divergences - set(NOISELESS))
    return Certificate(
        examples=x.shape[0],
        sweep=tuple(rows),
        used=used,
        solver_error=(values[used] - values[-1]).abs().mean().item(),
        divergence=", ".join(noisy or sorted(divergences)),
        standard_error=standard_error(module, log_prob, x, probes) if noisy else 0.0,
        probes=probes if noisy else 0,
        round_trip=None if round_trip is None else round_trip_error(round_trip, x),
    )


def round_trip_error(round_trip: Callable[[], Tensor], x: Tensor) -> float:
    try:
        with seeded(x, 0):
            back = round_trip()
        return (back - x).square().mean().sqrt().item()
    except SolverError:
        return math.nan


def measure(
    module: nn.Module, x: Tensor, log_prob: LogProb, shown: str, factor: float
) -> tuple[Sweep, Tensor, set[str]]:
    """A row of the sweep, log p (B,) and the divergences used."""
    with override_solver(module, lambda solver: solver.refined(factor)), record_solves() as log, seeded(x, 0):
        try:
            values = log_prob(module, x).double()
        except SolverError:
            values = torch.full((x.shape[0],), math.nan, dtype=torch.float64, device=x.device)
    found = {solution.divergence for solution in log.solutions if solution.divergence}
    return Sweep(shown, values.mean().item(), log.nfe_forward), values, found


def standard_error(module: nn.Module, log_prob: LogProb, x: Tensor, probes: int) -> float:
    draws = []
    for k in range(probes):
        with seeded(x, k):
            try:
                draws.append(log_prob(module, x).double())
            except SolverError:
                return math.nan
    return (torch.stack(draws).var(0).mean() / x.shape[0]).sqrt().item()


def certify_flow(flow: Flow, x: Tensor, context: Tensor | None = None, **options) -> Certificate:
    """`certify` for a `Flow`.

    Example:
        >>> print(certify_flow(flow.eval(), x[:256]))
    """

    def round_trip() -> Tensor:
        return flow.decode(flow.encode(x, context), context)

    def log_prob(module: nn.Module, points: Tensor) -> Tensor:
        floats = context is not None and context.is_floating_point()
        return module.log_prob(points, context.to(points.dtype) if floats else context)

    return certify(flow, log_prob, x, round_trip if flow.transform.bijective else None, **options)

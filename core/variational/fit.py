"""Fitting a flow to an unnormalised density."""

from __future__ import annotations

import contextlib
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from flowsuite.core.variational import checks
from flowsuite.core.variational.distribution import FlowDistribution
from flowsuite.core.variational.estimators import ESTIMATORS, sampled_loss
from flowsuite.core.variational.families import DEFAULT_LAYERS
from flowsuite.core.variational.posterior import Posterior
from flowsuite.core.variational.report import FitReport, score

CHECKS = 100  # times that a fit looks at its own figures: the host waits for the device no more often
RUNAWAY = 1e6  # spread at which a fit stops
PROBES = 64, 256  # least and most points that a density is tried at before the first step
CLIP = 100.0  # of the norm of the gradient
FIRST_BETA = 0.01


class FittedPosterior(FlowDistribution):
    """A fitted flow as a `torch.distributions.Distribution`, with what is known about the fit.

    Attributes:
        flow: the `Posterior`.
        report: the `FitReport`.
        history: rows (step, ELBO as annealed over the steps before, spread of the samples).
    """

    def __init__(self, flow: Posterior, report: FitReport, history: list[tuple[int, float, float]]):
        super().__init__(flow)
        self.report, self.history = report, history


def fit_posterior(
    log_density: Callable[[Tensor], Tensor],
    dim: int,
    flow: str | Posterior = "spline",
    n_layers: int | None = None,
    steps: int = 3000,
    batch_size: int = 256,
    lr: float = 3e-3,
    anneal_steps: int = 0,
    estimator: str = "reparameterized",
    importance_samples: int = 8,
    samples: int = 10_000,
    window: Sequence[float] | None = None,
    seed: int | None = None,
    progress: bool = True,
) -> FittedPosterior:
    """The flow q that minimises `KL(q || p)` to an unnormalised density p, by stochastic gradients of the ELBO.

    Adam with a cosine schedule to a hundredth of `lr`. Joint annealing (arXiv 1505.05770) multiplies log p by
    `beta_t = min(1, 0.01 + t / anneal_steps)`.

    Example:
        >>> q = fit_posterior(lambda z: -0.5 * (z - 1).square().sum(1), dim=3)
        >>> print(q.report)
        >>> q.sample((1000,)), q.log_prob(torch.zeros(3))

    Args:
        log_density: `log p` up to a constant, in nats: from points (N, D) to (N,), by torch operations.
        dim: D.
        flow: one of `KINDS`, or a `Posterior` of D dimensions, which is fitted further in place, where it is.
        n_layers: of the flow that is made; None for the default of its kind.
        steps, batch_size: gradient steps, and samples in each.
        lr: the highest learning rate.
        anneal_steps: t at which beta reaches 1; 0 for no annealing.
        estimator: of the gradient, see `sampled_loss`.
        importance_samples: of each bound, for "iwae" and "dreg": a step takes `batch_size / importance_samples` bounds.
        samples: fresh ones for the report.
        window: (left, right, bottom, top) that the divergences of the report are integrals over, in two dimensions;
            None for the density's own `support`, or the surroundings of the samples.
        seed: fixes the initialisation and the noise; None draws on torch's generator.
        progress: show a bar on stderr.

    Raises:
        ValueError: the density fails, has no gradient, gives the wrong shape or numbers that are not finite; or the
            flow has another dimension.
        RuntimeError: the samples have run away, or the loss is not finite though the density is.

    Warns: where the density seems improper, the samples still spread, the posterior has collapsed to a point or its
        Pareto k is above 0.7; `report.warnings` has the same lines.
    """
    counts = {"dim": dim, "steps": steps, "batch_size": batch_size, "samples": samples}
    counts |= {"importance_samples": importance_samples} | ({} if n_layers is None else {"n_layers": n_layers})
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    window = getattr(log_density, "support", None) if window is None else _check_window(window, dim)
    if not 0 < lr < math.inf or anneal_steps < 0:
        raise ValueError(f"expected lr > 0 and anneal_steps >= 0, got {lr} and {anneal_steps}")
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    flow = _prepare(flow, dim, n_layers, seed)
    device = flow.base.anchor.device
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        start = flow.rsample(min(max(batch_size, PROBES[0]), PROBES[1]), generator=generator)
    differentiable = estimator != "forward"
    checks.probe(log_density, start, differentiable)
    flat = checks.flat_directions(log_density, start, differentiable)
    noted = [checks.tail_warning(flat)] if flat else []
    begin = time.perf_counter()
    draws = batch_size, 1
    if estimator in ("iwae", "dreg"):
        draws = importance_samples, max(1, batch_size // importance_samples)
    fit = _Fit(flow, log_density, steps, draws, lr, anneal_steps, estimator, generator)
    with _bar(steps if progress else 0) as advance:
        fit.run(advance)
    report, z = score(flow, log_density, samples, window, generator)
    report.steps, report.seconds = steps, time.perf_counter() - begin
    noted += [*fit.notes(), *filter(None, [checks.collapse_warning(z)])]
    report.warnings = noted + report.warnings
    for line in report.warnings:
        warnings.warn(line, stacklevel=2)
    return FittedPosterior(flow, report, fit.history)


def _check_window(window: Sequence[float], dim: int) -> tuple[float, float, float, float]:
    if dim != 2:
        raise ValueError(f"window is for two dimensions, got dim={dim}")
    if len(window) != 4 or not (window[0] < window[1] and window[2] < window[3]):
        raise ValueError(f"window must be (left, right, bottom, top) with left < right, bottom < top, got {window}")
    return tuple(map(float, window))


def _prepare(flow: str | Posterior, dim: int, n_layers: int | None, seed: int | None) -> Posterior:
    if isinstance(flow, str):
        with torch.random.fork_rng(enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            return Posterior(dim, flow, n_layers or DEFAULT_LAYERS.get(flow, 1))
    if not isinstance(flow, Posterior):
        raise ValueError(f"flow must be the name of a kind or a Posterior, got {type(flow).__name__}")
    if n_layers is not None:
        raise ValueError("n_layers is for a flow given by its kind: this Posterior has its layers")
    if flow.base.shape != (dim,) or flow.context_features:
        raise ValueError(
            f"expected a Posterior of {dim} dimensions without a context, got one of {flow.base.shape[0]} dimensions "
            f"with {flow.context_features} context features"
        )
    return flow


class _Fit:
    """The steps of a fit. Figures stay on the device between one look at them and the next."""

    def __init__(self, flow, log_density, steps, draws, lr, anneal_steps, estimator, generator):
        self.flow, self.log_density, self.steps = flow, log_density, steps
        self.n, self.bounds = draws
        self.anneal_steps, self.estimator, self.generator = anneal_steps, estimator, generator
        self.parameters = [p for p in flow.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr, fused=True)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps, lr / 100)
        self.every = max(1, steps // CHECKS)
        self.history: list[tuple[int, float, float]] = []
        self.narrowest: list[tuple[int, float]] = []  # step, smallest standard deviation of a coordinate

    def beta(self, step: int) -> float:
        return min(1.0, FIRST_BETA + step / self.anneal_steps) if self.anneal_steps else 1.0

    def run(self, advance: Callable[[int, str], None]) -> None:
        self.flow.train()
        losses: list[Tensor] = []
        points: list[Tensor] = []
        safe = self._snapshot()
        for step in range(1, self.steps + 1):
            loss, z, _ = sampled_loss(
                self.flow,
                self.log_density,
                self.n,
                self.estimator,
                self.beta(step),
                bounds=self.bounds,
                generator=self.generator,
            )
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
            self.optimizer.step()
            self.schedule.step()
            losses.append(loss.detach())
            points.append(z.detach().flatten(0, -2))
            if step % self.every == 0 or step == self.steps:
                self._look(step, torch.stack(losses), points, safe)
                advance(len(losses), f"ELBO {self.history[-1][1]:.3f}")
                safe, losses, points = self._snapshot(), [], []
        self.flow.eval()

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.flow.state_dict().items()}

    def _look(self, step: int, losses: Tensor, points: list[Tensor], safe: dict[str, Tensor]) -> None:
        z = points[-1]
        spread = (z - z.mean(0)).square().mean().sqrt()
        narrowest = z.std(0, correction=0).amin()
        elbo, spread, narrowest = torch.stack([-losses.mean(), spread.to(losses), narrowest.to(losses)]).tolist()
        if not math.isfinite(elbo) or not math.isfinite(spread):
            self._explain(step, points, safe)
        if spread > RUNAWAY:
            raise RuntimeError(
                f"the samples have run away by step {step}: spread {spread:.3g}, {self.history[0][2]:.3g} at first; "
                "the density is improper or the learning rate too high"
            )
        self.history.append((step, elbo, spread))
        self.narrowest.append((step, narrowest))

    @torch.no_grad()
    def _explain(self, step: int, points: list[Tensor], safe: dict[str, Tensor]) -> None:
        """Goes back to the last parameters known to be good, and raises the most telling error."""
        self.flow.load_state_dict(safe)
        self.flow.eval()
        when = f"between steps {step - len(points)} and {step}"
        for z in points:
            z = z[z.isfinite().all(1)]
            if len(z):
                checks.check_values(self.log_density(z), z, when)
        raise RuntimeError(f"the loss is not finite {when}, though the density is: the learning rate may be too high")

    def notes(self) -> list[str]:
        """What the course of the fit gives reason to doubt: an annealing that is not over, samples that still spread or
        draw together, judged at 1/4, 1/2 and 3/4 of the steps, before the rate has come down."""
        found = []
        if self.beta(self.steps) < 1:
            found.append(
                f"beta was {self.beta(self.steps):.2g} at the end: anneal_steps of {self.anneal_steps} are more than "
                f"the {self.steps} steps of the fit, which is one of a flatter density"
            )
        if len(self.history) >= 8:
            at = [len(self.history) * i // 4 for i in (1, 2, 3)]
            found.append(checks.spread_warning([(self.history[i][0], self.history[i][2]) for i in at]))
            found.append(checks.shrink_warning([self.narrowest[i] for i in at]))
        return [line for line in found if line]


@contextlib.contextmanager
def _bar(steps: int) -> Iterator[Callable[[int, str], None]]:
    """A progress bar of the fit on stderr; none for 0 steps."""
    if not steps:
        yield lambda taken, text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("fitting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr)) as bar:
        task = bar.add_task("", total=steps)
        yield lambda taken, text: bar.update(task, advance=taken, description=text)

"""Training against the clock: who reaches a likelihood first."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.table import Column, Table
from flowsuite.core.training.ema import ExponentialMovingAverage

EMA_DECAY = 0.995  # of our recipes of flow matching


@dataclass
class Run:
    """`curve` holds (seconds of training, test NLL); `steps` is how many were taken."""

    curve: list[tuple[float, float]]
    steps: int

    def time_to(self, target: float) -> float | None:
        return next((seconds for seconds, nll in self.curve if nll <= target), None)


def train(step: Callable[[], None], evaluate: Callable[[], float], seconds: float, points: int) -> Run:
    """`step` again and again for `seconds`; evaluations, denser at the beginning, stop the clock."""
    clock, curve, steps = 0.0, [], 0
    for mark in (seconds * (i / points) ** 2 for i in range(1, points + 1)):
        while clock < mark:
            start = time.perf_counter()
            step()
            clock += time.perf_counter() - start
            steps += 1
        curve.append((clock, evaluate()))
    return Run(curve, steps)


@contextlib.contextmanager
def averaged(average: ExponentialMovingAverage | None) -> Iterator[None]:
    """Inside the block the model has its averaged weights, if it keeps such."""
    if average is not None:
        average.swap_in()
    try:
        yield
    finally:
        if average is not None:
            average.swap_out()


def race(
    run: Callable[[str, float, float, int], Run], names: Iterable[str], rates: Sequence[float], seconds: float
) -> tuple[dict[str, Run], dict[str, float]]:
    """Everyone trains with the learning rate that is better after a sixth of the time: the runs, and the rates.

    Args:
        run: from contender, learning rate, seconds and number of evaluations to a training from scratch.
    """
    runs, chosen = {}, {}
    for name in names:
        ended = {rate: run(name, rate, seconds / 6, 1).curve[-1][1] for rate in rates}
        chosen[name] = min(ended, key=lambda rate: ended[rate] if math.isfinite(ended[rate]) else math.inf)
        runs[name] = run(name, chosen[name], seconds, 24)
    return runs, chosen


def race_table(
    title: str, runs: dict[str, Run], rates: dict[str, float], reference: str, seconds: float, unit: str = "nats"
) -> Table:
    """Seconds to the best NLL that `reference` sees within the time, counted for everyone from the first time below."""
    target = min(nll for _, nll in runs[reference].curve)
    slowest = runs[reference].time_to(target)
    rows = []
    for name, run in runs.items():
        reached = run.time_to(target)
        found = ["not reached", None] if reached is None else [reached, slowest / reached]
        best = min(nll for _, nll in run.curve)
        rows.append([name, *found, run.curve[-1][1], best, run.steps, rates[name]])
    columns = [
        Column("contender"),
        Column(f"time to {target:.3f} {unit}", "s", ".1f"),
        Column("speed-up", "", ".1f"),
        Column(f"NLL after {seconds:.0f} s", unit, ".3f"),
        Column("best NLL", unit, ".3f"),
        Column("steps"),
        Column("learning rate", "", ".0e"),
    ]
    return Table(title, columns, rows)

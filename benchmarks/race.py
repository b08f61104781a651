"""Training against the clock: who reaches a likelihood first."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.table import Column, Table


@dataclass
class Run:
    """`curve` holds (seconds of training, test NLL); `steps` is how many were taken."""

    curve: list[tuple[float, float]]
    steps: int

    def time_to(self, target: float) -> float | None:
        return next((seconds for seconds, nll in self.curve if nll <= target), None)


def train(step: Callable[[], None], evaluate: Callable[[], float], seconds: float, points: int = 24) -> Run:
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


def race_table(title: str, runs: dict[str, Run], reference: str, seconds: float, unit: str = "nats") -> Table:
    """Seconds to the best NLL that `reference` sees within the time, counted for everyone from the first time below."""
    target = min(nll for _, nll in runs[reference].curve)
    slowest = runs[reference].time_to(target)
    rows = []
    for name, run in runs.items():
        reached = run.time_to(target)
        found = ["not reached", None] if reached is None else [reached, slowest / reached]
        best = min(nll for _, nll in run.curve)
        rows.append([name, *found, run.curve[-1][1], best, run.steps])
    columns = [
        Column("contender"),
        Column(f"time to {target:.3f} {unit}", "s", ".1f"),
        Column("speed-up", "", ".1f"),
        Column(f"NLL after {seconds:.0f} s", unit, ".3f"),
        Column("best NLL", unit, ".3f"),
        Column("steps"),
    ]
    return Table(title, columns, rows)

"""Progress bars with figures, and runs that Ctrl-C ends early without losing what there is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from flowsuite.molecules.optimize.policy_gradient import PolicyGradient


@contextlib.contextmanager
def progress(what: str, total: int, quiet: bool) -> Iterator:
    """A progress bar on stderr as a function that is told of each step, with figures to show."""
    if quiet or not total:
        yield lambda figures: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[f]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(what, total=total, f="")
        yield lambda figures: shown.update(task, advance=1, f=figures)


def fine_tune(learner: PolicyGradient, steps: int, quiet: bool) -> bool:
    """Takes all steps with a progress bar; whether Ctrl-C ended it."""
    with progress("optimising", steps, quiet) as advance:
        try:
            for figures in learner.run(steps):
                advance(f"mean {figures['mean']:.3f} best {figures['best']:.3f} kl {figures['kl']:.3f}")
        except KeyboardInterrupt:
            return True
    return False

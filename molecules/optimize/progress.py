"""Fine-tuning as it is seen on the terminal, which Ctrl-C ends early without losing what there is."""

from __future__ import annotations

import sys

from flowsuite.molecules.mapping import bar
from flowsuite.molecules.optimize.policy_gradient import PolicyGradient

TOLD = 20  # lines of figures in a run


def fine_tune(learner: PolicyGradient, steps: int, quiet: bool) -> bool:
    """Takes all steps with a progress bar and figures above it, on stderr; whether Ctrl-C ended it."""
    every = -(-steps // TOLD)
    with bar("" if quiet or not steps else "optimising", steps) as advance:
        try:
            for step, figures in enumerate(learner.run(steps), 1):
                advance(1)
                if not quiet and (step % every == 0 or step == steps):
                    print(line(step, figures), file=sys.stderr)
        except KeyboardInterrupt:
            return True
    return False


def line(step: int, figures: dict[str, float]) -> str:
    return f"step {step}: mean {figures['mean']:.3f}, best {figures['best']:.3f}, kl {figures['kl']:.3f}"

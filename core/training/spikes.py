"""Updates that would undo what was learned: gradients far larger than usual."""

from __future__ import annotations

import math

SETTLED = 100  # updates before anything can be far from usual
DECAY = 0.98


class SpikeGuard:
    """Tells gradient norms that exceed `factor` times their running mean, which they then do not enter.

    The mean is an exponential one over about fifty updates. Nothing is told before the hundredth.

    Args:
        factor: more than 1.
    """

    def __init__(self, factor: float):
        if not factor > 1:
            raise ValueError(f"spike_factor must be greater than 1, got {factor}")
        self.factor, self.mean, self.seen = factor, 0.0, 0

    def is_spike(self, norm: float) -> bool:
        """Whether this norm is one; a norm that is not finite is left to others."""
        if not math.isfinite(norm):
            return False
        if self.seen >= SETTLED and norm > self.factor * self.mean:
            return True
        self.seen += 1
        keep = min(DECAY, 1 - 1 / self.seen)
        self.mean = keep * self.mean + (1 - keep) * norm
        return False

    def state_dict(self) -> dict[str, float]:
        return {"mean": self.mean, "seen": self.seen}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.mean, self.seen = float(state["mean"]), int(state["seen"])

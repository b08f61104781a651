"""How a policy is fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowsuite.molecules.optimize.choices import BASELINES, DIVERSITIES
from flowsuite.molecules.optimize.shaping import Shaping


@dataclass(frozen=True)
class Options:
    """The settings of `PolicyGradient`.

    Args:
        batch_size: molecules drawn a step.
        temperature: of these.
        max_atoms: their largest size, the model's own if None.
        min_atoms: smallest size that STOP is accepted at.
        updates: optimiser steps a batch.
        lr: learning rate of Adam, after a linear rise over `warmup` updates.
        clip: PPO's e; the ratio of new to old probability counts within [1 - e, 1 + e].
        log_ratio_limit: the logarithm of that ratio is kept within +- this, before it is exponentiated.
        kl: weight of KL(policy || prior) per decision.
        entropy: weight of the entropy per decision.
        gamma: discount for each atom between a decision and the molecule's last atom.
        baseline, baseline_momentum: see `MovingBaseline`.
        normalize: advantages in units of their spread.
        replay: of the best molecules so far, added to each batch.
        memory: best molecules that are kept for that.
        diversity, bucket, similarity, repeats: `kind`, `bucket`, `threshold` and `repeats` of `DiversityFilter`.
            Molecules with a reward above their batch's mean fill buckets; one too many earns the batch's smallest.
        refusal_penalty: minus the reward of a bond that the valence check refused; 0 ignores these.
        grad_clip: largest norm of a gradient.
        shaping: of the reward.
    """

    batch_size: int = 64
    temperature: float = 1.0
    max_atoms: int | None = None
    min_atoms: int = 1
    updates: int = 2
    lr: float = 3e-4
    warmup: int = 10
    clip: float = 0.2
    log_ratio_limit: float = 10.0
    kl: float = 0.05
    entropy: float = 0.0
    gamma: float = 1.0
    baseline: str = "moving"
    baseline_momentum: float = 0.9
    normalize: bool = True
    replay: int = 16
    memory: int = 128
    diversity: str = "scaffold"
    bucket: int = 25
    similarity: float = 0.6
    repeats: int = 3
    refusal_penalty: float = 0.0
    grad_clip: float = 1.0
    shaping: Shaping = field(default_factory=Shaping)

    def __post_init__(self):
        positive = ("batch_size", "min_atoms", "updates", "lr", "clip", "log_ratio_limit", "grad_clip")
        positive += ("bucket", "repeats")
        at_least_0 = ("temperature", "warmup", "kl", "entropy", "replay", "memory", "refusal_penalty")
        for names, holds, what in (
            (positive, lambda v: v > 0, "above 0"),
            (at_least_0, lambda v: v >= 0, "at least 0"),
            (("gamma",), lambda v: 0 < v <= 1, "in (0, 1]"),
            (("baseline_momentum",), lambda v: 0 <= v < 1, "in [0, 1)"),
            (("similarity",), lambda v: 0 <= v <= 1, "in [0, 1]"),
        ):
            for name in names:
                if not holds(getattr(self, name)):
                    raise ValueError(f"{name} must be {what}, got {getattr(self, name)}")
        for name, known in (("baseline", BASELINES), ("diversity", DIVERSITIES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")


PUBLISHED = {
    "temperature": 0.75,
    "updates": 4,
    "lr": 1e-4,
    "warmup": 24,
    "kl": 0.0,
    "gamma": 0.9,
    "baseline": "index",
    "baseline_momentum": 0.95,
    "normalize": False,
    "replay": 0,
    "diversity": "none",
    "refusal_penalty": 1.0,
}
"""GraphAF's settings, ours else; for the reward see `published_shaping`. Two things differ from the public code: there
each of the 4 updates has a batch of its own, all drawn by the policy as it was before them, here they share one; and
there the objective's sum is divided by the latent's dimensions, here by the decisions."""

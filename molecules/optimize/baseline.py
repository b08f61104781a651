"""Advantages of decisions: discounted rewards, less what is usual, in units of their spread."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.molecules.optimize.choices import BASELINES

LARGEST = 5.0  # of a normalised advantage


class MovingBaseline:
    """What reward is usual, a moving average over batches: of all decisions, by size of molecule, or by atom index.

    "size" removes what mere growth earns; "index" is the published one.

    Args:
        kind: one of `BASELINES`.
        max_atoms: the largest molecule.
        momentum: share of the old average that is kept.
    """

    def __init__(self, kind: str, max_atoms: int, momentum: float):
        if kind not in BASELINES:
            raise ValueError(f"unknown baseline {kind!r}: expected one of {', '.join(BASELINES)}")
        if not 0 <= momentum < 1:
            raise ValueError(f"the baseline's momentum must be in [0, 1), got {momentum}")
        self.kind, self.momentum = kind, momentum
        self.value = torch.zeros(max_atoms + 2, dtype=torch.float64)
        self.seen = torch.zeros(max_atoms + 2, dtype=torch.bool)

    def keys(self, place: Tensor, size: Tensor) -> Tensor:
        """The average that each decision belongs to, given the atom it is about and the size of its molecule."""
        return {"moving": torch.zeros_like(place), "size": size, "index": place}[self.kind]

    def update(self, keys: Tensor, rewards: Tensor) -> None:
        """Takes the rewards (E,) of decisions that the policy drew into account."""
        bins = self.value.shape[0]
        count = torch.bincount(keys, minlength=bins)
        total = torch.zeros_like(self.value).index_add_(0, keys, rewards.double())
        here = count > 0
        mean = total / count.clamp_min(1)
        kept = torch.where(self.seen, self.momentum, 0.0)
        self.value = torch.where(here, kept * self.value + (1 - kept) * mean, self.value)
        self.seen |= here

    def usual(self, keys: Tensor) -> Tensor:
        """The usual reward of each decision (E,); where none was drawn yet, the mean of the averages there are."""
        elsewhere = self.value[self.seen].mean() if bool(self.seen.any()) else self.value.new_zeros(())
        return torch.where(self.seen, self.value, elsewhere)[keys]


def normalized(advantages: Tensor) -> Tensor:
    """Advantages in units of their root mean square, at most `LARGEST`; zeros where all are equal to the baseline."""
    rms = advantages.square().mean().sqrt() if advantages.numel() else advantages.new_zeros(())
    return (advantages / rms.clamp_min(1e-8)).clamp(-LARGEST, LARGEST)

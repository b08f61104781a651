"""Learning-rate schedules that recipes name and torch does not have."""

from __future__ import annotations

import torch


class ConstantThenLinear(torch.optim.lr_scheduler.LRScheduler):
    """The learning rate stays for a part of the run, then falls linearly to 0 (PointFlow, arXiv 1906.12320).

    Args:
        optimizer: whose learning rates.
        total: calls of `step()` until it is 0: epochs or steps, as the module's `lr_interval` says.
        constant: the part of `total` at the full rate.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, total: int, constant: float = 0.5, last_epoch: int = -1):
        if total < 1 or not 0 <= constant < 1:
            raise ValueError(f"expected total >= 1 and constant in [0, 1), got {total} and {constant}")
        self.total, self.constant = total, constant
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        left = (self.total - self.last_epoch) / (self.total * (1 - self.constant))
        return [lr * min(1.0, max(0.0, left)) for lr in self.base_lrs]

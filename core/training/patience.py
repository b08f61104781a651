"""Early stopping of the published FFJORD runs, which lowers the learning rate on the way."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl


class Patience(pl.Callback):
    """Stops after more than `validations` validations without a lower `monitor` (rtqichen/ffjord, train_tabular.py).

    Once more than a third of them have passed, the learning rate is a tenth of its first value, and once more than two
    thirds, a hundredth. It does not rise again, but the count starts anew at every improvement. NaN is no improvement.
    For modules without a schedule of their own.

    Args:
        validations: the patience.
        monitor: the figure that is to fall.
    """

    def __init__(self, validations: int = 30, monitor: str = "val/loss"):
        if validations < 1:
            raise ValueError(f"validations must be at least 1, got {validations}")
        self.validations, self.monitor = validations, monitor
        self.best, self.waited, self.decays = math.inf, 0, 0
        self.first_lrs: list[float] | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.lr_scheduler_configs:
            raise ValueError("Patience sets the learning rate itself: leave lr_scheduler out")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(trainer.callback_metrics)
            raise ValueError(f"Patience watches {self.monitor!r}, which is not logged: expected one of {known}")
        value = float(trainer.callback_metrics[self.monitor])  # the same on all ranks
        if value < self.best:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        while self.decays < 2 and 3 * self.waited > (self.decays + 1) * self.validations:
            self.decays += 1
        self._set_rates(trainer)
        if self.waited > self.validations:
            trainer.should_stop = True

    def _set_rates(self, trainer: pl.Trainer) -> None:
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        if self.first_lrs is None:
            self.first_lrs = [float(group["lr"]) for group in groups]
        for group, first in zip(groups, self.first_lrs, strict=True):
            group["lr"] = first / 10**self.decays

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "decays": self.decays, "first_lrs": self.first_lrs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

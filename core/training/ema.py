"""Exponential moving average of the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """`a <- d a + (1 - d) w` after every update, with `d = min(decay, (1 + t) / (10 + t))` at update number `t`.

    The ramp (TensorFlow's `num_updates`) lets short runs forget where they started. Parameters are averaged; buffers,
    such as running statistics, stay those of the trained model. The average starts at the weights as they are at the
    first update, after any data-dependent initialisation.

    Args:
        module: whose trainable and frozen parameters are averaged.
        decay: in (0, 1), such as 0.999.
    """

    def __init__(self, module: nn.Module, decay: float):
        if not 0 < decay < 1:
            raise ValueError(f"ema_decay must be between 0 and 1, got {decay}")
        self.decay = decay
        self.updates = 0
        self.module = module
        self.average: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] | None = None

    @property
    def swapped_in(self) -> bool:
        return self._weights is not None

    @torch.no_grad()
    def update(self) -> None:
        """Takes the present weights into the average."""
        names, weights = zip(*self.module.named_parameters(), strict=True)
        if not self.average:
            self.average = {name: w.detach().clone() for name, w in zip(names, weights, strict=True)}
        average = [self.average[name] for name in names]
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(average, list(weights), 1 - decay)
        self.updates += 1

    @torch.no_grad()
    def swap_in(self) -> None:
        """Puts the average in the model until `swap_out`; before the first update the two are the same."""
        if self.swapped_in or not self.average:
            return
        self._weights = {name: w.detach().clone() for name, w in self.module.named_parameters()}
        self._write(self.average)

    @torch.no_grad()
    def swap_out(self) -> None:
        """Gives the model its own weights back."""
        if self._weights is not None:
            self._write(self._weights)
            self._weights = None

    def _write(self, values: dict[str, Tensor]) -> None:
        names, weights = zip(*self.module.named_parameters(), strict=True)
        torch._foreach_copy_(list(weights), [values[name] for name in names])

    def own_weights(self) -> dict[str, Tensor]:
        """The weights that the average stands in for, by name; empty when it is not swapped in."""
        return self._weights or {}

    def state_dict(self) -> dict:
        return {"updates": self.updates, "decay": self.decay, "average": self.average}

    def load_state_dict(self, state: dict) -> None:
        present = dict(self.module.named_parameters())
        if state["average"] and state["average"].keys() != present.keys():
            raise ValueError("the averaged weights of the checkpoint belong to another model")
        self.updates = int(state["updates"])
        self.average = {name: a.detach().clone().to(present[name].device) for name, a in state["average"].items()}

    def to(self, device: torch.device) -> None:
        self.average = {name: a.to(device) for name, a in self.average.items()}

"""Moving averages of per-channel batch statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.core.layers.actnorm import initializing
from flowsuite.core.layers.statistics import channel_moments, move_average, several_ranks
from flowsuite.core.numerics import at_least_float32


def batch_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population variance of every channel over batch, positions and all ranks: (B, C, H, W) -> (C,), (C,)."""
    if several_ranks():
        return channel_moments(x)
    var, mean = torch.var_mean(at_least_float32(x), dim=(0, 2, 3), correction=0)
    return mean, var


class MovingMoments(nn.Module):
    """Running mean and population variance of C channels, and the statistics that training normalises with.

    `running <- (1 - momentum) * running + momentum * batch`, moved by `blend` (RealNVP, arXiv 1605.08803, section 3.7).

    With `lag = 0` training uses the batch's own statistics. With `lag > 0` it uses the published code's mixture
    `(lag * batch + (1 - lag) * running) / (1 - lag**(step + 1))`, in which gradients reach only the batch's part: a
    small `lag` makes the statistics steady from batch to batch.

    On several ranks the statistics are those of the joined batch.
    """

    def __init__(self, channels: int, momentum: float = 0.1, lag: float = 0.0):
        super().__init__()
        if not 0 <= lag < 1:
            raise ValueError(f"lag must be in [0, 1), got {lag}")
        self.momentum, self.lag = momentum, lag
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("step", torch.zeros(()) if lag else None)

    def blend(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """The (C,) mean and variance to normalise a training batch with; moves the running averages."""
        used = mean, var
        if self.lag:
            correction = 1 - self.lag ** (self.step + 1)
            running = self.running_mean.clone(), self.running_var.clone()
            used = tuple((self.lag * b + (1 - self.lag) * r) / correction for b, r in zip(used, running, strict=True))
        self.update(mean, var)
        return used

    @torch.no_grad()
    def update(self, mean: Tensor, var: Tensor) -> None:
        """Moves the running averages towards a batch's mean and population variance."""
        if initializing():
            return
        move_average(self.running_mean, mean, self.momentum)
        move_average(self.running_var, var, self.momentum)
        if self.step is not None:
            self.step.add_(1)

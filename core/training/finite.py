"""Watches that the figures of a training step are finite, without making the host wait for the device."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class NonFiniteError(RuntimeError):
    """The loss or the gradient of a step is NaN or infinite."""


def check_some_update(skipped: int, updates: int) -> None:
    """Raises `NonFiniteError` if training skipped every single one of its updates, and so has learned nothing."""
    if updates and skipped == updates:
        raise NonFiniteError(
            f"nothing was learned: all {updates} updates were skipped, because loss or gradient was never finite. Look "
            'at the data, try a lower learning rate, or set non_finite to "stop" to see the first bad step'
        )


class FiniteWatch:
    """Checks figures of a step, now or one step late.

    On a CPU a check costs nothing and happens at once. On a GPU `watch` starts an asynchronous copy, and the next
    `watch` (or `settle`) looks at it, when the device has long computed it: no stall, at the price of finding out one
    step late. `settle()` is called before anything is saved, so that no checkpoint holds the result of a bad step.
    """

    def __init__(self):
        self._pending: tuple[int, tuple[str, ...], Tensor, torch.cuda.Event | None] | None = None

    def watch(self, step: int, figures: dict[str, Tensor]) -> None:
        self.settle()
        values = stack_figures(figures)
        event = None
        if values.is_cuda:
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            host.copy_(values, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            values = host
        self._pending = (step, tuple(figures), values, event)
        if event is None:
            self.settle()

    def settle(self) -> None:
        """Raises `NonFiniteError` if the figures watched last are not all finite."""
        if self._pending is None:
            return
        step, names, values, event = self._pending
        self._pending = None
        if event is not None:
            event.synchronize()
        bad = [f"{name} is {value}" for name, value in zip(names, values.tolist(), strict=True) if not finite(value)]
        if bad:
            raise NonFiniteError(
                f"training stopped at step {step}: {' and '.join(bad)}; earlier checkpoints are intact. Try a lower "
                'learning rate, warmup_steps or trainer.gradient_clip_val, or set non_finite to "skip"'
            )


def finite(value: float) -> bool:
    return math.isfinite(value)


def stack_figures(figures: dict[str, Tensor]) -> Tensor:
    """The figures as one float vector, agreed on by all ranks: a figure that is not finite on one is not on all."""
    values = torch.stack([figure.detach().float() for figure in figures.values()])
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # A sum keeps NaN and infinity; an infinity of either sign may only turn into NaN.
        torch.distributed.all_reduce(values)
        values = values / torch.distributed.get_world_size()
    return values

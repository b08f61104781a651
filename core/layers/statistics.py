"""Moments of channels over batch, positions and ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.core.numerics import at_least_float32, autocast_off


def several_ranks() -> bool:
    """Whether processes compute together, as under DDP."""
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum over all processes; differentiable."""
    if several_ranks():
        from torch.distributed.nn.functional import all_reduce

        return all_reduce(values)
    return values


def _sum(values: Tensor, axes: list[int]) -> Tensor:
    return sum_over_ranks(values.sum(dim=axes))


@torch.no_grad()
def move_average(running: Tensor, batch: Tensor, momentum: float) -> None:
    """`running <- (1 - momentum) * running + momentum * batch`, where `batch` is finite."""
    batch = batch.detach().to(running.dtype)
    running.lerp_(torch.where(batch.isfinite(), batch, running), momentum)


def channel_moments(x: Tensor, unbiased: bool = False) -> tuple[Tensor, Tensor]:
    """Mean and variance of every channel over batch, positions and all ranks: (B, C, ...) -> (C,), (C,).

    In float32 or better, differentiable across ranks too. `unbiased` divides by n - 1.
    """
    axes = [0, *range(2, x.ndim)]
    with autocast_off(x):
        x = at_least_float32(x)
        count = _sum(torch.ones_like(x[:, :1]), axes)
        mean = _sum(x, axes) / count
        centred = x - mean.view(1, -1, *[1] * (x.ndim - 2))
        return mean, _sum(centred.square(), axes) / (count - int(unbiased)).clamp_min(1)

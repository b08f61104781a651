"""The gated activation of WaveNet."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from flowsuite.core.numerics import in_torch_func


def gate(a: Tensor) -> Tensor:
    """`tanh(a[..., :C, :]) * sigmoid(a[..., C:, :])`: (..., 2C, W) -> (..., C, W) (WaveNet, arXiv 1609.03499, eq. 5).

    By `tanh(u) = 2 sigmoid(2u) - 1` one sigmoid does for both: several times faster than `tanh` on CPUs, and its values
    are all that the backward pass needs.
    """
    if in_torch_func():
        first, second = a.chunk(2, dim=-2)
        return first.tanh() * second.sigmoid()
    if torch.is_grad_enabled() and a.requires_grad:
        return _Gate.apply(a)
    first, second = _sigmoids(a).chunk(2, dim=-2)
    return (2 * first - 1) * second


def _sigmoids(a: Tensor) -> Tensor:
    """Of twice the first half and of the second half, side by side."""
    s = a.clone()
    s.chunk(2, dim=-2)[0].mul_(2)
    return s.sigmoid_()


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        s = _sigmoids(a)
        ctx.save_for_backward(s)
        first, second = s.chunk(2, dim=-2)
        return (2 * first - 1) * second

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        first, second = ctx.saved_tensors[0].chunk(2, dim=-2)
        of_first = 4 * first * (1 - first) * second * grad
        of_second = (2 * first - 1) * second * (1 - second) * grad
        return torch.cat((of_first, of_second), dim=-2)

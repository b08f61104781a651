"""The scalar equation that inverts planar and Sylvester layers, and the derivative of tanh without cancellation."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_STEPS = 200  # at m = -1 + eps, s -> 0 the root is nearly triple and every step takes off a third
CHECK_EVERY = 4


def sech2(t: Tensor) -> Tensor:
    """`tanh'(t) = 1 / cosh(t)^2 = 4 e / (1 + e)^2` with `e = exp(-2|t|)`: no overflow, no cancellation."""
    e = torch.exp(-2 * t.abs())
    return 4 * e / (1 + e).square()


def solve_tanh(m: Tensor, s: Tensor) -> Tensor:
    """The root `t` of `t + m tanh(t) = s`, for every element of the broadcast `m > -1` and `s`.

    Newton's method from an end of a bracket of the root. Both sides are odd in (t, s), so take s >= 0: the root lies
    between `min(s, s / (1 + m), s - m)` and `max(...)` of them, on the side t >= 0 where the function is concave for
    m >= 0 and convex for m < 0. From the lower end `max(s / (1 + m), s - m)` in the first case, and the upper end
    `min(s / (1 + m), s - m)` in the second, every step moves towards the root and none passes it.

    The gradients are those of the implicit function: `dt = (ds - tanh(t) dm) / (1 + m sech^2 t)`.
    """
    with torch.no_grad():
        t = _newton(*torch.broadcast_tensors(m.detach(), s.detach()))
    slope = 1 + m.detach() * sech2(t)
    return t - (t + m * torch.tanh(t) - s) / slope


def _newton(m: Tensor, s: Tensor) -> Tensor:
    size = s.abs()
    chord, tail = size / (1 + m), size - m
    t = torch.where(m >= 0, torch.maximum(chord, tail), torch.minimum(chord, tail))
    tolerance = 4 * torch.finfo(t.dtype).eps
    for step in range(1, MAX_STEPS + 1):
        move = (t + m * torch.tanh(t) - size) / (1 + m * sech2(t))
        t = t - move
        # NaN, which infinity becomes too, counts as settled.
        if step % CHECK_EVERY == 0 and not (move.abs() > tolerance * t.abs().clamp_min(tolerance)).any():
            break
    return torch.copysign(t, s)

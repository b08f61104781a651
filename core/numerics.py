"""Small numerical helpers shared by all layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def sum_over_event(x: Tensor) -> Tensor:
    """Sums every axis but the first, in float32 or better: (B, ...) -> (B,)."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return x.sum(dim=tuple(range(1, x.ndim)), dtype=dtype) if x.ndim > 1 else x.to(dtype)


def zero_ladj(x: Tensor) -> Tensor:
    """The log-determinant of a volume-preserving map on `x`: (B,) zeros in float32 or better."""
    return x.new_zeros(x.shape[0], dtype=torch.promote_types(x.dtype, torch.float32))


def at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def autocast_off(x: Tensor) -> torch.autocast:
    """A context in which nothing on `x`'s device is autocast: invertible arithmetic keeps its precision there."""
    return torch.autocast(x.device.type, enabled=False)


def present_autocast(x: Tensor, allowed: bool = True) -> dict[str, Any]:
    """Arguments of a `torch.autocast` that repeats the present one on `x`'s device; off if not allowed."""
    device = x.device.type
    enabled = allowed and torch.is_autocast_enabled(device)
    return {"device_type": device, "enabled": enabled, "dtype": torch.get_autocast_dtype(device)}


def in_torch_func() -> bool:
    """Whether a transform of `torch.func` (vmap, grad, jacrev, jvp, ...) is at work, which plain operations pass
    through and a `torch.autograd.Function` of ours does not."""
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()


def refuse_torch_func(what: str, instead: str) -> None:
    """Raises NotImplementedError inside transforms of `torch.func`: `what` does not pass them, `instead` does."""
    if in_torch_func():
        raise NotImplementedError(f"{what} does not work inside transforms of torch.func: {instead}")

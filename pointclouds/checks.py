"""What the point-cloud metrics accept: floating point, (clouds, points, 3), finite."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def check_shapes(x: Tensor, y: Tensor) -> None:
    """That x (B, N, 3) and y (B, M, 3) are batches of the same length on one device; never waits for the device."""
    for name, cloud in (("first", x), ("second", y)):
        if cloud.ndim != 3 or cloud.shape[-1] != 3 or cloud.shape[1] == 0:
            raise ValueError(f"{name} batch of clouds: got shape {tuple(cloud.shape)}, expected (clouds, points, 3)")
        if not cloud.is_floating_point():
            raise ValueError(f"{name} batch of clouds: got {cloud.dtype}, expected floating point")
    if x.device != y.device:
        raise ValueError(f"batches of clouds on different devices: {x.device} and {y.device}")


def check_batches(x: Tensor, y: Tensor) -> None:
    """`check_shapes`, and as many clouds on either side."""
    check_shapes(x, y)
    if len(x) != len(y):
        raise ValueError(f"batches of clouds of different lengths: {len(x)} and {len(y)}")


def check_same_points(x: Tensor, y: Tensor) -> None:
    """A bijection needs as many points on either side."""
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"EMD needs clouds of equal size, got {x.shape[1]} and {y.shape[1]} points")


def check_finite(clouds: Tensor, name: str) -> None:
    """That no cloud of a set (B, N, 3) has NaN or infinite coordinates; waits for the device."""
    broken = (~torch.isfinite(clouds)).flatten(1).any(1).nonzero().flatten()
    if len(broken):
        raise ValueError(
            f"{name}: cloud {broken[0].item()} has NaN or infinite coordinates ({len(broken)} such clouds)"
        )


def check_both_finite(x: Tensor, y: Tensor) -> None:
    check_finite(x, "first batch of clouds")
    check_finite(y, "second batch of clouds")


def as_clouds(clouds, name: str, minimum: int = 1) -> Tensor:
    """A set of clouds as a tensor (B, N, 3), or a ValueError that names the set and what is wrong with it.

    Args:
        clouds: tensor or NumPy array.
        name: of the set, for messages.
        minimum: clouds at least.
    """
    if not isinstance(clouds, (Tensor, np.ndarray)):
        raise ValueError(f"{name}: got {type(clouds).__name__}, expected an array of shape (clouds, points, 3)")
    if isinstance(clouds, np.ndarray) and clouds.dtype.kind != "f":
        raise ValueError(f"{name}: got {clouds.dtype}, expected floating point")
    clouds = torch.as_tensor(clouds)
    if clouds.ndim != 3 or clouds.shape[-1] != 3 or clouds.shape[1] == 0:
        raise ValueError(f"{name}: got shape {tuple(clouds.shape)}, expected (clouds, points, 3)")
    if not clouds.is_floating_point():
        raise ValueError(f"{name}: got {clouds.dtype}, expected floating point")
    if len(clouds) < minimum:
        raise ValueError(f"{name}: got {len(clouds)} clouds, expected at least {minimum}")
    check_finite(clouds, name)
    return clouds if clouds.dtype == torch.float64 else clouds.float()

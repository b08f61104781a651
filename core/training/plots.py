"""Pictures of two-dimensional densities and point sets, without a plotting library.

Colours are a cubehelix (Green 2011, arXiv 1108.5083): their perceived brightness grows in step with the value, so that
the picture is also right in grey.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

CHUNK = 65_536  # points that `log_prob` sees at a time
UNKNOWN = (128, 128, 128)  # where the value is NaN

# Green's weights: how red, green and blue deviate along the two axes of the plane of constant brightness.
HELIX = ((-0.14861, 1.78277), (-0.29227, -0.90649), (1.97294, 0.0))


def cubehelix(values: Tensor) -> Tensor:
    """Values in [0, 1], shape (H, W), to a picture (3, H, W) uint8 from black over blue, green and pink to white.

    `c = v + v (1 - v) (p cos a + q sin a) / 2` with `a = 2 pi (0.5/3 + 1 - 1.5 v)`: hue 1, start 0.5, -1.5 rotations.
    """
    angle = 2 * math.pi * (0.5 / 3 + 1 - 1.5 * values)
    amplitude = values * (1 - values) / 2
    colours = torch.stack([values + amplitude * (p * angle.cos() + q * angle.sin()) for p, q in HELIX])
    picture = (255 * colours.nan_to_num(0)).round().clamp(0, 255).to(torch.uint8)
    grey = torch.tensor(UNKNOWN, dtype=torch.uint8, device=picture.device)[:, None, None]
    return torch.where(values.isnan(), grey, picture)


def shade(density: Tensor) -> Tensor:
    """A density (H, W) as a picture, full brightness at the 99.5 % quantile of what is not empty, NaN grey."""
    known = density[density > 0]
    if not len(known):
        return cubehelix(density.clamp(max=0))
    top = known.kthvalue(max(1, math.ceil(0.995 * len(known)))).values
    return cubehelix((density / top).clamp(max=1))


def check_window(bounds: Sequence[float], size: int) -> tuple[float, float, float, float]:
    if len(bounds) != 4 or not (bounds[0] < bounds[1] and bounds[2] < bounds[3]):
        raise ValueError(f"expected bounds (left, right, bottom, top) in ascending pairs, got {tuple(bounds)}")
    if size < 1:
        raise ValueError(f"the size of a picture must be at least 1 pixel, got {size}")
    return tuple(float(bound) for bound in bounds)


@torch.no_grad()
def density_image(
    log_prob: Callable[[Tensor], Tensor],
    bounds: Sequence[float] = (-4.0, 4.0, -4.0, 4.0),
    size: int = 256,
    device: torch.device | str = "cpu",
) -> Tensor:
    """A density in the plane as a picture (3, size, size) uint8, second coordinate upwards.

    Args:
        log_prob: from points (N, 2) to log-densities (N,), nats; -inf is black, NaN grey.
        bounds: left, right, bottom, top.
        size: pixels of either side.
        device: where `log_prob` wants its points.
    """
    left, right, bottom, top = check_window(bounds, size)
    middle = (torch.arange(size, device=device) + 0.5) / size
    y, x = torch.meshgrid(top + (bottom - top) * middle, left + (right - left) * middle, indexing="ij")
    points = torch.stack([x, y], -1).view(-1, 2)
    values = torch.cat([log_prob(part).double().cpu() for part in points.split(CHUNK)])
    if values.shape != (size * size,):
        raise ValueError(f"log_prob must give one value for each of {size * size} points, got {tuple(values.shape)}")
    finite = values[values.isfinite()]
    peak = finite.max() if len(finite) else 0.0
    return shade((values - peak).exp().view(size, size))


def points_image(points: Tensor, bounds: Sequence[float] = (-4.0, 4.0, -4.0, 4.0), size: int = 256) -> Tensor:
    """A histogram of points (N, 2) as a picture (3, size, size) uint8; points outside `bounds` are left out."""
    left, right, bottom, top = check_window(bounds, size)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"expected points of shape (N, 2), got {tuple(points.shape)}")
    x, y = points.detach().cpu().double().unbind(-1)
    column, row = ((x - left) / (right - left) * size).floor(), ((top - y) / (top - bottom) * size).floor()
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    pixel = (row * size + column)[inside].long()
    return shade(torch.bincount(pixel, minlength=size * size).double().view(size, size))


def square_around(points: Tensor, margin: float = 0.1) -> tuple[float, float, float, float]:
    """The smallest square window around all points (N, 2) but one in a thousand on either side, with a margin."""
    finite = points.detach().double().cpu()
    finite = finite[finite.isfinite().all(1)]
    if not len(finite):
        return (-1.0, 1.0, -1.0, 1.0)
    low, high = (finite.quantile(q, dim=0) for q in (0.001, 0.999))
    centre, half = (low + high) / 2, float((high - low).max()) / 2 * (1 + 2 * margin)
    half = half or 1.0
    return tuple(float(v) for c in centre for v in (c - half, c + half))


def density_triptych(
    log_prob: Callable[[Tensor], Tensor], data: Tensor, samples: Tensor, size: int = 256, gap: int = 4
) -> Tensor:
    """Data, learnt density and samples side by side in the window of the data: a picture (3, size, ~3 size) uint8.

    Args:
        log_prob: see `density_image`.
        data, samples: points (N, 2).
    """
    bounds = square_around(data)
    panels = [
        points_image(data, bounds, size),
        density_image(log_prob, bounds, size, data.device),
        points_image(samples, bounds, size),
    ]
    line = torch.full((3, size, gap), 255, dtype=torch.uint8)
    return torch.cat([panels[0], line, panels[1], line, panels[2]], 2)

"""Pictures of point clouds: discs on a white ground, seen at an angle from above, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.training.pictures import grid, write_png

# Anchors of colour scales, RGB in [0, 1]: from low to high.
HEIGHTS = torch.tensor(
    [[0.16, 0.22, 0.45], [0.15, 0.45, 0.62], [0.25, 0.66, 0.62], [0.93, 0.68, 0.29], [0.85, 0.37, 0.2]]
)
HEAT = torch.tensor([[0.05, 0.03, 0.3], [0.45, 0.05, 0.45], [0.8, 0.25, 0.3], [0.98, 0.6, 0.15], [0.98, 0.95, 0.55]])


def colours(values: Tensor, anchors: Tensor) -> Tensor:
    """Values in [0, 1], of any shape, to colours (..., 3) between the anchors."""
    place = values.clamp(0, 1) * (len(anchors) - 1)
    low = place.floor().long().clamp(max=len(anchors) - 2)
    return torch.lerp(anchors[low], anchors[low + 1], (place - low)[..., None])


def to_unit(values: Tensor, tails: float = 0.01) -> Tensor:
    """Values (B, N) stretched so that all but the `tails` of each row fill [0, 1]."""
    low, high = quantiles(values, tails)
    return (values - low) / (high - low).clamp(min=1e-12)


def quantiles(values: Tensor, tails: float) -> tuple[Tensor, Tensor]:
    """The lower and upper `tails` quantile of (B, N, ...) along the second axis, which is kept."""
    n = values.shape[1]
    cut = int(tails * n)
    ordered = values.sort(dim=1).values
    return ordered[:, cut : cut + 1], ordered[:, n - 1 - cut : n - cut]


def as_batch(clouds: Tensor | Sequence[Tensor]) -> Tensor:
    """(B, N, 3) float32 on the CPU; clouds of different sizes are filled up by repeating their first point."""
    if isinstance(clouds, Tensor):
        clouds = clouds[None] if clouds.ndim == 2 else clouds
        batch = clouds.detach().float().cpu()
    else:
        clouds = [torch.as_tensor(cloud).detach().float().cpu() for cloud in clouds]
        n = max((len(cloud) for cloud in clouds), default=0)
        batch = torch.stack([torch.cat((c, c[:1].expand(n - len(c), -1))) for c in clouds]) if n else torch.empty(0)
    if batch.ndim != 3 or batch.shape[-1] != 3 or not batch.numel():
        raise ValueError(f"expected clouds (B, N, 3) with at least one point, got {tuple(batch.shape)}")
    bad = (~batch.isfinite()).any(dim=-1).sum(dim=1)
    if bad.any():
        first = int(bad.nonzero()[0, 0])
        raise ValueError(f"cloud {first}: {int(bad[first])} of {batch.shape[1]} points are NaN or infinite")
    return batch


def view(points: Tensor, azimuth: float, elevation: float) -> Tensor:
    """(B, N, 3) points to (right, up, towards the eye), orthographic; angles in degrees, axis 1 is up.

    Azimuth 0 looks along -z, at the front of the shape.
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    right = (math.cos(a), 0.0, -math.sin(a))
    eye = (math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e))
    up = (-math.sin(a) * math.sin(e), math.cos(e), -math.cos(a) * math.sin(e))
    return points @ torch.tensor([right, up, eye]).T


def stencil(radius: float) -> Tensor:
    """(K, 2) whole offsets within `radius` pixels."""
    reach = math.ceil(radius)
    steps = torch.arange(-reach, reach + 1)
    offsets = torch.cartesian_prod(steps, steps)
    return offsets[offsets.square().sum(dim=1) <= radius**2]


def nearest_points(seen: Tensor, pixels: Tensor, offsets: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cloud, pixel (counted along the rows) and point of every pixel that a disc covers; the nearest disc's point."""
    spots = pixels.round().long()[:, :, None] + offsets
    inside = ((spots >= 0) & (spots < size)).all(dim=-1)
    flat = (spots[..., 1] * size + spots[..., 0]).where(inside, size * size).flatten(1)
    farthest_first = seen[..., 2].argsort(dim=1)
    rank = farthest_first.argsort(dim=1)
    front = torch.full((len(seen), size * size + 1), -1)
    front.scatter_reduce_(1, flat, rank[:, :, None].expand(-1, -1, len(offsets)).flatten(1), "amax")
    cloud, spot = (front[:, :-1] >= 0).nonzero(as_tuple=True)
    return cloud, spot, farthest_first[cloud, front[cloud, spot]]


def paint(
    points: Tensor, values: Tensor | None, size: int, radius: float, angles: tuple[float, float], extent
) -> Tensor:
    """(B, 3, size, size) in [0, 1]; see `render_clouds`."""
    seen = view(points, *angles)
    low, high = quantiles(seen, 0.002)
    half = (high - low)[..., :2].amax(dim=-1, keepdim=True) / 2 if extent is None else extent
    middle = (size - 1) / 2
    scale = 0.94 * (middle - radius) / torch.as_tensor(half).clamp(min=1e-12)
    pixels = (seen - (low + high) / 2)[..., :2] * scale * torch.tensor([1.0, -1.0]) + middle
    cloud, spot, index = nearest_points(seen, pixels, stencil(radius), size)
    tone = to_unit(points[..., 1]) if values is None else to_unit(values)
    colour = colours(tone[cloud, index], HEIGHTS if values is None else HEAT)
    haze = 0.55 * (1 - to_unit(seen[..., 2])[cloud, index].clamp(0, 1))[:, None]
    here = torch.stack((spot % size, spot // size), dim=-1)
    rim = (here - pixels[cloud, index]).square().sum(-1) / radius**2
    shaded = colour * (1 - 0.35 * rim.clamp(0, 1))[:, None]
    picture = torch.ones(len(points), size * size, 3)
    picture[cloud, spot] = torch.lerp(shaded, torch.ones(3), haze)
    return picture.view(-1, size, size, 3).permute(0, 3, 1, 2)


def render_clouds(
    clouds: Tensor | Sequence[Tensor],
    size: int = 192,
    values: Tensor | None = None,
    radius: float | None = None,
    azimuth: float = 35.0,
    elevation: float = 22.0,
    extent: float | None = None,
) -> Tensor:
    """One picture for each cloud: (B, 3, size, size) uint8.

    Orthographic; every point is a disc with a darker rim, nearer ones cover farther ones, which fade. Each cloud
    is centred and scaled so that it fills the picture (stray points, 0.2 % at either end, do not count).

    Args:
        clouds: (B, N, 3), (N, 3), or a sequence of (N_i, 3); axis 1 is up.
        size: height and width in pixels.
        values: (B, N) numbers that colour the points, e.g. log-densities; the height colours them if None.
        radius: of the discs in pixels; chosen from `size` and the number of points if None.
        azimuth: the direction the eye looks from, in degrees about the vertical axis; 0 is the front (+z).
        elevation: of the eye above the horizon, in degrees.
        extent: half the side of the picture in the units of the points, the same for all clouds; None: each its own.
    """
    points = as_batch(clouds)
    if size < 8:
        raise ValueError(f"size must be at least 8 pixels, got {size}")
    if values is not None:
        values = values.detach().float().cpu().reshape(-1, *values.shape[-1:])
        if values.shape != points.shape[:2] or not values.isfinite().all():
            raise ValueError(
                f"expected finite values {tuple(points.shape[:2])}, one a point, got {tuple(values.shape)}"
            )
    fine = 2 * size
    radius = max(1.5, 0.42 * fine / math.sqrt(points.shape[1])) if radius is None else 2 * radius
    chunk = max(1, 2**22 // (points.shape[1] * len(stencil(radius))))
    pictures = []
    for first in range(0, len(points), chunk):
        part = slice(first, first + chunk)
        shown = None if values is None else values[part]
        picture = paint(points[part], shown, fine, radius, (azimuth, elevation), extent)
        pictures.append((F.avg_pool2d(picture, 2) * 255).round().to(torch.uint8))
    return torch.cat(pictures)


def contact_sheet(clouds: Tensor | Sequence[Tensor], columns: int | None = None, size: int = 192, **options) -> Tensor:
    """All clouds side by side: one picture (3, H, W) uint8.

    Args:
        clouds: as for `render_clouds`, which has the other options too.
        columns: clouds in a row; as square as possible if None.
        size: height and width of one cloud's picture in pixels.
        options: those of `render_clouds`.
    """
    return grid(render_clouds(clouds, size, **options), columns, gap=2, background=225)


def write_sheet(path: str | Path, clouds: Tensor | Sequence[Tensor], columns: int | None = None, **options) -> Path:
    """Writes `contact_sheet(...)` as a PNG file."""
    return write_png(path, contact_sheet(clouds, columns, **options))

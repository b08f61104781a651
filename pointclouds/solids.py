"""Triangle meshes of simple solids, many at a time: every argument and result has a batch axis of shapes first.

A solid is `(vertices (B, V, 3), faces (F, 3))`; the faces are the same for the whole batch. Axis 1 is up.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Solid = tuple[Tensor, Tensor]

HEXAHEDRON = torch.tensor(
    [0, 1, 3, 0, 3, 2, 4, 6, 7, 4, 7, 5, 0, 4, 5, 0, 5, 1, 2, 3, 7, 2, 7, 6, 0, 2, 6, 0, 6, 4, 1, 5, 7, 1, 7, 3]
).view(12, 3)
SIGNS = torch.tensor([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


def vector(x, y, z) -> Tensor:
    """(B, 3) from three coordinates, each (B,) or a number (one at least is a tensor)."""
    like = next(value for value in (x, y, z) if isinstance(value, Tensor))
    return torch.stack([torch.as_tensor(value, dtype=like.dtype).expand_as(like) for value in (x, y, z)], dim=-1)


def box(center: Tensor, size: Tensor) -> Solid:
    """Boxes along the axes: (B, 3) centres and edge lengths."""
    return center[:, None] + SIGNS * size[:, None], HEXAHEDRON


def beam(start: Tensor, end: Tensor, start_size: Tensor, end_size: Tensor) -> Solid:
    """Hexahedra between two rectangles that face along x: wings, tilted backs and legs.

    `start` and `end` (B, 3) are the centres of the rectangles, the sizes (B, 2) their extents along two axes: along
    (y, z) if the beam goes mainly along x. Use `swap` to lay it along another axis.
    """
    flat = [torch.cat((size.new_zeros(len(size), 1), size), dim=1) for size in (start_size, end_size)]
    corners = [center[:, None] + SIGNS[:4] * size[:, None] for center, size in zip((start, end), flat, strict=True)]
    return torch.cat(corners, dim=1), HEXAHEDRON


def lathe(profile: Tensor, segments: int = 24) -> Solid:
    """Surfaces of revolution about the y axis: `profile` (B, K, 2) lists (radius, height) along the outline."""
    batch, k, _ = profile.shape
    angles = torch.arange(segments) * (2 * math.pi / segments)
    radius, height = profile.unbind(dim=-1)
    x = radius[:, :, None] * angles.cos()
    z = radius[:, :, None] * angles.sin()
    vertices = torch.stack((x, height[:, :, None].expand_as(x), z), dim=-1).reshape(batch, -1, 3)
    return vertices, strip_faces(k, segments)


def strip_faces(rows: int, columns: int) -> Tensor:
    """Triangles of a grid of `rows` x `columns` vertices that is closed along its columns."""
    row, column = torch.meshgrid(torch.arange(rows - 1), torch.arange(columns), indexing="ij")
    following = (column + 1) % columns
    a, b = row * columns + column, row * columns + following
    c, d = a + columns, b + columns
    return torch.stack((torch.stack((a, b, c), -1), torch.stack((b, d, c), -1)), dim=-2).reshape(-1, 3)


def ring(radius: Tensor, thickness: Tensor, arc: float = 1.0, segments: int = 32, around: int = 12) -> Solid:
    """Tori, or an `arc` of them (fraction of the full turn from -z over +x), in the plane y = 0.

    `radius` (B,) of the middle circle and `thickness` (B,) of the tube. An arc of a half spans x >= 0.
    """
    turn = torch.linspace(0, 2 * math.pi * arc, segments + 1)
    tube = torch.arange(around) * (2 * math.pi / around)
    distance = radius[:, None, None] + thickness[:, None, None] * tube.cos()
    height = (thickness[:, None, None] * tube.sin()).expand(-1, segments + 1, -1)
    x, z = distance * turn.sin()[:, None], -distance * turn.cos()[:, None]
    vertices = torch.stack((x, height, z), dim=-1).reshape(len(radius), -1, 3)
    return vertices, strip_faces(segments + 1, around)


def ellipsoid(center: Tensor, radii: Tensor, rows: int = 16, segments: int = 24) -> Solid:
    """Ellipsoids along the axes: (B, 3) centres and half axes."""
    angle = torch.linspace(-math.pi / 2, math.pi / 2, rows + 1)
    profile = torch.stack((angle.cos(), angle.sin()), dim=-1)
    vertices, faces = lathe(profile[None], segments)
    return center[:, None] + radii[:, None] * vertices, faces


def cylinder(base: Tensor, height: Tensor, bottom: Tensor, top: Tensor | None = None, segments: int = 20) -> Solid:
    """Closed upright cylinders, or frusta and cones: (B, 3) centre of the base, (B,) height and radii."""
    top = bottom if top is None else top
    zero = torch.zeros_like(height)
    rows = [(zero, zero), (bottom, zero), (top, height), (zero, height)]
    profile = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=1)
    return move(lathe(profile, segments), base)


def move(solid: Solid, by: Tensor) -> Solid:
    """Translated by (B, 3)."""
    return solid[0] + by[:, None], solid[1]


def swap(solid: Solid, *axes: int) -> Solid:
    """With the coordinates in another order: `swap(solid, 1, 0, 2)` lays what stood along y along x."""
    return solid[0][..., list(axes)], solid[1]


def merge(solids: list[Solid]) -> Solid:
    """All solids as one mesh."""
    batch = max(len(vertices) for vertices, _ in solids)
    offsets, parts = 0, []
    for vertices, faces in solids:
        parts.append(faces + offsets)
        offsets += vertices.shape[1]
    return torch.cat([vertices.expand(batch, -1, -1) for vertices, _ in solids], dim=1), torch.cat(parts)

"""Points uniform on the surface of triangle meshes."""

from __future__ import annotations

import torch
from torch import Tensor


def triangle_areas(corners: Tensor) -> Tensor:
    """Areas of triangles (..., 3, 3), the last axes being corner and coordinate."""
    a, b, c = corners.unbind(dim=-2)
    return torch.linalg.cross(b - a, c - a).norm(dim=-1) / 2


def points_on_triangles(corners: Tensor, uniforms: Tensor) -> Tensor:
    """Area-weighted uniform points on meshes, one batch entry a mesh: (B, n, 3).

    A triangle is drawn with probability proportional to its area (inverse of the cumulative area), then
    `p = a + s (1 - t) (b - a) + s t (c - a)` with `s = sqrt(u_1)`, `t = u_2`, which is uniform on the triangle
    (Osada et al. 2002, "Shape distributions", eq. 1).

    Args:
        corners: (B, F, 3, 3).
        uniforms: (B, n, 3) independent uniform numbers in [0, 1).
    """
    total = triangle_areas(corners).double().cumsum(dim=1)
    choice = uniforms[..., 0].double() * total[:, -1:]
    face = torch.searchsorted(total, choice.contiguous(), right=True)
    # Rounding may reach beyond the last triangle that has an area.
    last = torch.searchsorted(total, total[:, -1:].contiguous())
    face = torch.minimum(face, last)
    batch, n_faces = corners.shape[:2]
    flat = face + n_faces * torch.arange(batch)[:, None]
    a, b, c = corners.reshape(-1, 3, 3).index_select(0, flat.flatten()).view(batch, -1, 3, 3).unbind(dim=2)
    s, t = uniforms[..., 1, None].sqrt(), uniforms[..., 2, None]
    return a + s * ((1 - t) * (b - a) + t * (c - a))


def sample_surface(vertices: Tensor, faces: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
    """`n` points uniform on the surface of one triangle mesh, (n, 3) in the vertices' dtype.

    Args:
        vertices: (V, 3).
        faces: (F, 3) indices of vertices.
        n: number of points.
        generator: of torch random numbers; torch's global one if None.
    """
    if n < 1:
        raise ValueError(f"the number of points must be at least 1, got {n}")
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces):
        raise ValueError(f"expected faces (F, 3) with at least one triangle, got {tuple(faces.shape)}")
    corners = vertices[faces][None]
    area = triangle_areas(corners).sum()
    if not area > 0 or not torch.isfinite(area):
        raise ValueError(f"the surface has area {float(area)}: nothing to sample from")
    uniforms = torch.rand(1, n, 3, generator=generator, dtype=vertices.dtype)
    return points_on_triangles(corners, uniforms)[0]


def unit_diagonal(vertices: Tensor) -> Tensor:
    """(B, V, 3) with the bounding box centred at 0 and its diagonal of length 1, as ShapeNetCore.v2 has its models."""
    low, high = vertices.amin(dim=1, keepdim=True), vertices.amax(dim=1, keepdim=True)
    return (vertices - (low + high) / 2) / (high - low).norm(dim=-1, keepdim=True)


def z_up_to_y_up(points: Tensor) -> Tensor:
    """Turns about the first axis so that the third axis becomes the second: (x, y, z) -> (x, z, -y)."""
    x, y, z = points.unbind(dim=-1)
    return torch.stack((x, z, -y), dim=-1)

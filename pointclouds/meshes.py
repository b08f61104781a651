"""Triangle meshes from OFF, OBJ and PLY files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.pointclouds.surface import triangle_areas


@dataclass
class Polygons:
    """What a file says, before it is checked.

    Attributes:
        vertices: (V, 3) float64.
        sizes: (F,) corners of each polygon.
        corners: (sum of sizes,) indices of vertices from 0, polygon after polygon.
    """

    vertices: np.ndarray
    sizes: np.ndarray
    corners: np.ndarray


def read_mesh(path: str | Path) -> tuple[Tensor, Tensor]:
    """(V, 3) float32 vertices and (F, 3) int64 triangles of a `.off`, `.obj` or `.ply` file.

    Polygons become fans of triangles about their first corner. A mesh without faces or without area, with a vertex
    that is not finite or a corner that does not exist, and a file that ends early are errors that name the file.
    """
    from flowsuite.pointclouds.mesh_text import read_obj, read_off
    from flowsuite.pointclouds.ply import read_ply_polygons

    readers = {".off": read_off, ".obj": read_obj, ".ply": read_ply_polygons}
    path = Path(path)
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path}: expected a mesh in a file ending in {', '.join(readers)}")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    if not data.strip():
        raise ValueError(f"{path}: the file is empty")
    try:
        return check_mesh(readers[path.suffix.lower()](data))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def check_mesh(polygons: Polygons) -> tuple[Tensor, Tensor]:
    """Vertices and triangles of a mesh that has an area; what is wrong otherwise."""
    vertices, sizes, corners = polygons.vertices, polygons.sizes, polygons.corners
    if not len(sizes):
        raise ValueError("the mesh has no faces")
    bad = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if len(bad):
        raise ValueError(f"vertex {bad[0]} is {vertices[bad[0]].tolist()}, and {len(bad)} in all are not finite")
    small = np.flatnonzero(sizes < 3)
    if len(small):
        raise ValueError(f"face {small[0]} has {sizes[small[0]]} corners, expected at least 3")
    outside = np.flatnonzero((corners < 0) | (corners >= len(vertices)))
    if len(outside):
        face = int(np.searchsorted(sizes.cumsum(), outside[0], side="right"))
        raise ValueError(
            f"face {face} has corner {corners[outside[0]]}, expected 0..{len(vertices) - 1} (counted from 0)"
        )
    faces = torch.from_numpy(fans(sizes, corners))
    points = torch.from_numpy(vertices)
    if not triangle_areas(points[faces]).sum() > 0:
        raise ValueError("the mesh has zero area")
    return points.float(), faces


def fans(sizes: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(T, 3) triangles: of each polygon with corners c_0..c_(k-1), the k - 2 triangles (c_0, c_i, c_(i+1))."""
    sizes = sizes.astype(np.int64)
    starts = sizes.cumsum() - sizes
    count = sizes - 2
    first = np.repeat(starts, count)
    step = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count) + 1
    return corners.astype(np.int64)[np.stack((first, first + step, first + step + 1), axis=1)]

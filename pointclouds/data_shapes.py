"""Procedurally made shapes: nothing to download."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.seeding import fold_seed
from flowsuite.pointclouds.categories import did_you_mean
from flowsuite.pointclouds.clouds import Clouds
from flowsuite.pointclouds.data_base import PointCloudDataModule
from flowsuite.pointclouds.families import FAMILIES, MAX_DRAWS, make_meshes
from flowsuite.pointclouds.surface import points_on_triangles


def check_families(families: str | Sequence[str]) -> list[str]:
    """The families of a name, of a list of names, or of "all"."""
    if families == "all":
        return list(FAMILIES)
    families = [families] if isinstance(families, str) else list(families)
    for name in families:
        if name not in FAMILIES:
            raise ValueError(f"unknown family {name!r}{did_you_mean(name, list(FAMILIES))}")
    if not families or len(set(families)) != len(families):
        raise ValueError(f"families must be one or more different names, got {families}")
    return families


def make_shapes(family: str, split: str, indices: Sequence[int], n: int, seed: int = 0, chunk: int = 32) -> Tensor:
    """Clouds of `n` points uniform on the surfaces of the shapes `indices` of a family: (len(indices), n, 3) float32.

    Proportions and points of a shape are a function of (seed, split, family, index) alone.
    """
    made = torch.empty(len(indices), n, 3)
    for first in range(0, len(indices), chunk):
        part = indices[first : first + chunk]
        uniforms, proportions = torch.empty(len(part), n, 3), torch.empty(len(part), MAX_DRAWS)
        for row, index in enumerate(part):
            draw = np.random.default_rng(fold_seed(seed, "shapes", split, family, int(index)))
            draw.random(dtype=np.float32, out=proportions[row].numpy())
            draw.random(dtype=np.float32, out=uniforms[row].numpy())
        vertices, faces = make_meshes(family, proportions)
        made[first : first + len(part)] = points_on_triangles(vertices[:, faces], uniforms)
    return made


class Shapes(PointCloudDataModule):
    """Chairs, tables, airplanes, cars, lamps, mugs, rockets and tori with random proportions, made on the spot.

    Points are independent and uniform on the surface, 15,000 of a shape as in ShapeNetCore.v2.PC15k: the first 10,000
    for training, the rest held out. The bounding box has diagonal 1, axis 1 is up. The families take turns: shape `i`
    is of family `i % len(families)`.

    Args:
        families: names of families, or "all".
        train: training shapes.
        val: validation shapes.
        test: test shapes.
        rows: points of every shape.
        seed: another seed makes other shapes.
        kwargs: those of `PointCloudDataModule`.
    """

    def __init__(
        self,
        families: str | list[str] = "all",
        train: int = 512,
        val: int = 64,
        test: int = 64,
        rows: int = 15000,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.families, self.rows, self.seed = check_families(families), rows, seed
        self.sizes = {"train": train, "val": val, "test": test}
        if min(train, val, test) < 1 or rows < 2:
            raise ValueError(f"train, val, test >= 1 and rows >= 2 expected, got {train}, {val}, {test}, {rows}")

    def source(self, part):
        size, k = self.sizes[part], len(self.families)
        points, names = torch.empty(size, self.rows, 3), [""] * size
        for label, family in enumerate(self.families):
            numbers = range(len(range(label, size, k)))
            points[label::k] = make_shapes(family, part, numbers, self.rows, self.seed)
            names[label::k] = [f"{family}/{part}/{number:05d}" for number in numbers]
        return Clouds(points, torch.arange(size) % k, names, self.families)

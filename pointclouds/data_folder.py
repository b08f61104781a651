"""Your own clouds: a folder of `.npy` files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from flowsuite.core.training.seeding import fold_seed
from flowsuite.pointclouds.clouds import read_cloud
from flowsuite.pointclouds.data_base import held_out
from flowsuite.pointclouds.data_files import CloudFiles


def resample(cloud: np.ndarray, n: int, seed: int) -> np.ndarray:
    """`n` points of a cloud (N, 3): a random subset in random order; if N < n all of them, then random repetitions."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(cloud))
    if len(cloud) < n:
        order = np.concatenate((order, draw.integers(len(cloud), size=n - len(cloud))))
    return cloud[order[:n]]


class CloudFolder(CloudFiles):
    """Any folder of `.npy` clouds (N, 3), with axis 1 up.

    With sub-folders `train` and `test` (and `val`) those are the parts; what is missing is drawn from the training part
    with a fixed seed. Inside a part, each sub-folder is a category, in alphabetical order; files directly in it make
    one category.

    Args:
        root: the folder.
        resample: bring every cloud to this many points, by a random choice that is always the same; 0: clouds of
            different sizes are an error. Smaller clouds repeat points, held-out ones among them.
        test: clouds drawn for the test part where the folder has none.
        validation: clouds drawn for the validation part where the folder has none.
        split_seed: seed of these draws.
        kwargs: those of `CloudFiles` and `PointCloudDataModule`; `cache` works without `resample` only.
    """

    def __init__(
        self, root: str, resample: int = 0, test: int = 100, validation: int = 100, split_seed: int = 0, **kwargs
    ):
        super().__init__(root, **kwargs)
        if resample < 0 or resample == 1:
            raise ValueError(f"resample must be 0 or at least 2, got {resample}")
        if resample and (self.cache or self.skip_bad):
            raise ValueError("resample needs cache and skip_bad to be off")
        self.resample, self.test, self.validation, self.split_seed = resample, test, validation, split_seed

    def files(self, part):
        apart = (self.root / "train").is_dir()
        if apart and part != "train" and (self.root / part).is_dir():
            return self.scan(self.root / part)
        paths, labels, categories = self.scan(self.root / "train" if apart else self.root)
        left = list(range(len(paths)))
        for name, option, size in (("test", "test", self.test), ("val", "validation", self.validation)):
            if apart and (self.root / name).is_dir():
                continue
            kept, drawn = held_out(len(left), size, self.split_seed, option)
            chosen, left = [left[i] for i in drawn], [left[i] for i in kept]
            if name == part:
                left = chosen
                break
        return [paths[i] for i in left], [labels[i] for i in left], categories

    def scan(self, folder: Path) -> tuple[list[Path], list[int], list[str]]:
        """Every cloud below a folder, sorted, its label, and the categories."""
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is not a folder: expected one with .npy clouds")
        paths = sorted(p for p in folder.rglob("*.npy") if not p.name.startswith("."))
        if not paths:
            raise FileNotFoundError(f"{folder} holds no .npy clouds")
        tops = [path.relative_to(folder).parts[0] if path.parent != folder else "" for path in paths]
        categories = sorted(set(tops))
        return paths, [categories.index(top) for top in tops], categories

    def read(self, paths: Sequence[Path]):
        if not self.resample:
            return super().read(paths)
        packed = torch.empty(len(paths), self.resample, 3)
        for i, path in enumerate(paths):
            seed = fold_seed("resample", path.relative_to(self.root).as_posix())
            packed[i] = torch.from_numpy(resample(read_cloud(path), self.resample, seed))
        return packed

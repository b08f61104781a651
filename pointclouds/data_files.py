"""Base of the data modules whose clouds are `.npy` files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch

from flowsuite.pointclouds.clouds import Clouds, load_clouds, map_clouds, readable
from flowsuite.pointclouds.data_base import PointCloudDataModule

SHUFFLE_SEED = 38383  # of the published code


class CloudFiles(PointCloudDataModule):
    """Clouds from `.npy` files (N, 3), all of one size; a data set overrides `files(part)`.

    Args:
        root: folder of the data set.
        cache: a folder for packed copies that are memory-mapped: one file a part, made the first time, so that
            processes share memory and a set may be larger than it. None: every process reads all clouds into memory.
        skip_bad: leave out files that cannot be used, with a warning that counts them, instead of stopping.
        kwargs: those of `PointCloudDataModule`.
    """

    def __init__(self, root: str, cache: str | None = None, skip_bad: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.root, self.cache, self.skip_bad = Path(root), cache, skip_bad

    def files(self, part: str) -> tuple[list[Path], list[int], list[str]]:
        """Files of "train", "val" or "test", the label of each, and the names that the labels stand for."""
        raise NotImplementedError(f"{type(self).__name__} must define files(part)")

    def source(self, part):
        paths, labels, categories = self.files(part)
        if self.skip_bad:
            good = readable(paths)
            paths, labels = [paths[i] for i in good], [labels[i] for i in good]
        points = self.read(paths)
        names = [path.relative_to(self.root).with_suffix("").as_posix() for path in paths]
        return Clouds(points, torch.tensor(labels), names, categories)

    def read(self, paths: Sequence[Path]) -> torch.Tensor:
        """The clouds of `paths` as one array (S, N, 3)."""
        return map_clouds(paths, self.cache) if self.cache else load_clouds(paths)

    def prepare_data(self):
        """On one process, before the others come: the packed copies."""
        if self.cache:
            for part in ("train", "val"):
                self.clouds(part)


def list_npy(folder: Path) -> list[Path]:
    """The `.npy` files directly in a folder, sorted by name."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: expected one with .npy clouds")
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".npy" and not path.name.startswith("."))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no .npy clouds")
    return paths


def by_category(folders: Sequence[Path]) -> tuple[list[Path], list[int]]:
    """Files of each folder in turn, then shuffled as the published loader does: (paths, number of the folder).

    The public code takes the files in the order of `os.listdir`, which depends on the file system; here they are
    sorted first, and then shuffled with the same seed, so that the order is the same everywhere.
    """
    found = [(path, label) for label, folder in enumerate(folders) for path in list_npy(folder)]
    order = list(range(len(found)))
    random.Random(SHUFFLE_SEED).shuffle(order)
    return [found[i][0] for i in order], [found[i][1] for i in order]

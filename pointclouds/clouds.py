"""Point clouds in memory or in one memory-mapped file, and reading them from `.npy` files."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.files import atomic_write
from flowsuite.core.training.numpy_files import load_npy, map_npy


@dataclass
class Clouds:
    """Clouds of equal size.

    Attributes:
        points: (S, N, 3) float32, as on disk, not normalised; may be backed by a memory-mapped file.
        labels: (S,) int64, index of the category.
        names: of every cloud, e.g. "02691156/train/1a04e3eab45ca15dd86060f189eb133".
        categories: names that the labels stand for.
    """

    points: Tensor
    labels: Tensor
    names: Sequence[str]
    categories: Sequence[str]

    def __len__(self) -> int:
        return len(self.points)

    def subset(self, indices: Sequence[int]) -> Clouds:
        """Copies of some of the clouds."""
        rows = torch.as_tensor(indices)
        return Clouds(self.points[rows], self.labels[rows], [self.names[i] for i in indices], self.categories)


def check_points(array: np.ndarray, name: object) -> np.ndarray:
    """`array` as float32 (N, 3) if it is a cloud of finite numbers; says what is wrong with `name` otherwise."""
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected numbers of shape (points, 3), got {array.dtype} {array.shape}")
    if not len(array):
        raise ValueError(f"{name}: the cloud has no points")
    array = array.astype(np.float32, copy=False)
    bad = np.count_nonzero(~np.isfinite(array).all(axis=1))
    if bad:
        raise ValueError(f"{name}: {bad} of {len(array)} points are NaN or infinite")
    return array


def read_cloud(path: str | Path) -> np.ndarray:
    """(N, 3) float32 from a `.npy`; NaN, infinity and other shapes are errors that name the file."""
    return check_points(load_npy(path), path)


def read_equal(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    """Every cloud of `paths` in turn; one with another number of points than the first is an error that names it."""
    rows = None
    for path in paths:
        cloud = read_cloud(path)
        rows = len(cloud) if rows is None else rows
        if len(cloud) != rows:
            raise ValueError(f"{path}: {len(cloud)} points, but {paths[0]} has {rows}: all clouds need the same number")
        yield cloud


def load_clouds(paths: Sequence[Path]) -> Tensor:
    """All clouds as one array (S, N, 3) in memory."""
    clouds = read_equal(paths)
    first = next(clouds)
    packed = np.empty((len(paths), *first.shape), dtype=np.float32)
    packed[0] = first
    for i, cloud in enumerate(clouds, 1):
        packed[i] = cloud
    return torch.from_numpy(packed)


def map_clouds(paths: Sequence[Path], folder: str | Path) -> Tensor:
    """All clouds as one array (S, N, 3) mapped from a file in `folder`, which is written the first time.

    The file's name is a digest of the paths, sizes and modification times of the clouds, so that it is made anew when
    they change. All processes of a machine share its pages, and only what is looked at is read.
    """
    stamp = hashlib.sha256()
    for path in paths:
        status = path.stat()
        stamp.update(repr((str(path.resolve()), status.st_size, status.st_mtime_ns)).encode())
    packed = Path(folder) / f"clouds-{stamp.hexdigest()[:16]}.npy"
    if not packed.exists():
        clouds = read_equal(paths)
        first = next(clouds)
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(paths), *first.shape)}
        with atomic_write(packed) as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.write(first.astype("<f4", copy=False).tobytes())
            for cloud in clouds:
                file.write(cloud.astype("<f4", copy=False).tobytes())
    # Copy on write: torch wants memory that it may write to, and the file stays as it is.
    return torch.from_numpy(map_npy(packed, "c"))


def readable(paths: Sequence[Path]) -> list[int]:
    """Numbers of those files that hold a cloud, all of the first good one's size; a warning counts the others."""
    good, rows, last = [], None, ""
    for i, path in enumerate(paths):
        try:
            cloud = read_cloud(path)
            rows = len(cloud) if rows is None else rows
            if len(cloud) != rows:
                raise ValueError(f"{path}: {len(cloud)} points, the others have {rows}")
        except (OSError, ValueError) as error:
            last = str(error)
        else:
            good.append(i)
    if not good:
        raise ValueError(f"none of {len(paths)} clouds can be used, the last: {last}")
    if last:
        warnings.warn(f"skipped {len(paths) - len(good)} of {len(paths)} clouds, the last: {last}", stacklevel=2)
    return good

"""Downsampled ImageNet in its two incompatible editions."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import torch

from flowsuite.core.training.files import find_file, read_at
from flowsuite.core.training.numpy_files import load_npz
from flowsuite.core.training.pickles import load_array_pickle
from flowsuite.core.training.pictures import decode_image, open_image
from flowsuite.images.data_base import ImageDataModule
from flowsuite.images.datasets import ImageFiles, ImageSet
from flowsuite.images.files import list_images, to_tensor


class DownsampledImageNet(ImageDataModule):
    """ "Small ImageNet" of van den Oord et al. 2016 (arXiv 1601.06759): the edition behind the published bits/dim.

    1,281,149 train and 49,999 test images (its `valid`) of 32x32 or 64x64, no labels. In `root`, for each of
    `train_32x32` and `valid_32x32` either a folder of PNG or the `.tar` as distributed, which is read in place.
    `ImageNetBatches` was resampled differently: never compare figures across the two.

    Args:
        root: folder of the data set.
        size: 32 or 64.
        validation: training images kept for validation.
        skip_bad: leave out images that cannot be read, with a warning that counts them, instead of stopping.
        kwargs: those of `ImageDataModule`.
    """

    def __init__(self, root: str = "data", size: int = 32, validation: int = 10000, skip_bad: bool = False, **kwargs):
        super().__init__(validation=validation, **kwargs)
        if size not in (32, 64):
            raise ValueError(f"size must be 32 or 64, got {size}")
        self.root, self.size, self.skip_bad = Path(root), size, skip_bad

    def source(self, part):
        name = f"{'train' if part == 'train' else 'valid'}_{self.size}x{self.size}"
        path = find_file(self.root, [name, f"{name}.tar"], "expected this folder of PNG or its .tar")
        keys = list_images(path) if path.is_dir() else tar_members(path)
        return ImageFiles(keys, None, self.read, self.skip_bad)

    def read(self, key: Path | tuple[str, str, int, int]) -> torch.Tensor:
        if isinstance(key, Path):
            image, name = open_image(key), str(key)
        else:
            archive, member, offset, size = key
            name = f"{archive}, member {member}"
            image = decode_image(read_at(archive, offset, size), name)
        if image.size != (self.size, self.size):
            raise ValueError(f"{name}: expected {self.size}x{self.size}, got {image.height}x{image.width}")
        return to_tensor(image)


def tar_members(path: Path) -> list[tuple[str, str, int, int]]:
    """`(archive, member, offset, bytes)` of every PNG in an uncompressed tar, sorted by name."""
    try:
        with tarfile.open(path, "r:") as archive:
            members = [(str(path), m.name, m.offset_data, m.size) for m in archive if m.name.lower().endswith(".png")]
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"{path}: not a readable tar ({error})") from None
    if not members:
        raise ValueError(f"{path}: holds no PNG files")
    return sorted(members)


class ImageNetBatches(ImageDataModule):
    """The later downsampled ImageNet (Chrabaszcz et al. 2017, arXiv 1707.08819), with labels 0..999.

    In `root`: `train_data_batch_1`..`_10` and `val_data`, as `.npz` or as pickles, with `data` uint8 (N, 3*S*S),
    channels first, and `labels` 1..1000. Other resampling than `DownsampledImageNet`: bits/dim differ.

    Args:
        root: folder of the data set.
        size: S, one of 8, 16, 32, 64.
        validation: training images kept for validation.
        kwargs: those of `ImageDataModule`.
    """

    def __init__(self, root: str = "data", size: int = 32, validation: int = 10000, **kwargs):
        super().__init__(validation=validation, **kwargs)
        if size not in (8, 16, 32, 64):
            raise ValueError(f"size must be 8, 16, 32 or 64, got {size}")
        self.root, self.size = Path(root), size

    def source(self, part):
        names = [f"train_data_batch_{i}" for i in range(1, 11)] if part == "train" else ["val_data"]
        batches = [self._read(find_file(self.root, [f"{name}.npz", name])) for name in names]
        images, labels = (torch.cat(column) for column in zip(*batches, strict=True))
        return ImageSet(images, labels)

    def _read(self, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
        batch = load_npz(path) if path.suffix == ".npz" else load_array_pickle(path)
        if not isinstance(batch, dict) or not {"data", "labels"} <= set(batch):
            raise ValueError(f'{path}: expected arrays "data" and "labels"')
        data, labels = np.asarray(batch["data"]), np.asarray(batch["labels"]).astype(np.int64)
        wanted = 3 * self.size**2
        if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != wanted or len(data) != len(labels):
            raise ValueError(f"{path}: expected uint8 data (N, {wanted}) and N labels, got {data.dtype} {data.shape}")
        images = torch.from_numpy(data.reshape(-1, 3, self.size, self.size))
        if len(labels) and not (labels.min() >= 1 and labels.max() <= 1000):
            raise ValueError(f"{path}: expected labels 1..1000, got {labels.min()}..{labels.max()}")
        return images, torch.from_numpy(labels) - 1

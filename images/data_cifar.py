"""CIFAR-10 and SVHN: 32x32 colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from flowsuite.core.training.files import find_file
from flowsuite.core.training.pickles import load_array_pickle
from flowsuite.images.data_base import DownloadableModule
from flowsuite.images.datasets import ImageSet
from flowsuite.images.mat_files import read_mat


class CIFAR10(DownloadableModule):
    """32x32 photographs of 10 classes, 50,000 train and 10,000 test images.

    Files: the Python version, `data_batch_1`..`data_batch_5` and `test_batch`, in `root` or `root/cifar-10-batches-py`
    (pickles, of which nothing but arrays is loaded); or the binary version with the same names and `.bin`, in `root`
    or `root/cifar-10-batches-bin`.

    Args:
        root: folder of the data set.
        download: fetch missing files through torchvision.
        validation: training images kept for validation.
        kwargs: those of `ImageDataModule`; Glow trains with `shift: 0.1`, RealNVP with `flip: true`.
    """

    def __init__(self, root: str = "data", download: bool = False, validation: int = 5000, **kwargs):
        super().__init__(root, download, validation=validation, **kwargs)

    def fetch(self):
        import torchvision

        torchvision.datasets.CIFAR10(str(self.root), download=True)

    def source(self, part):
        names = [f"data_batch_{i}" for i in range(1, 6)] if part == "train" else ["test_batch"]
        batches = [self._read(name) for name in names]
        images, labels = (torch.cat(column) for column in zip(*batches, strict=True))
        return ImageSet(images, labels)

    def _read(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        folders = {"": ("", ".bin"), "cifar-10-batches-py/": ("",), "cifar-10-batches-bin/": (".bin",)}
        names = [f"{folder}{name}{end}" for folder, ends in folders.items() for end in ends]
        path = find_file(self.root, names, self.hint)
        pixels, labels = _read_binary(path) if path.suffix == ".bin" else _read_pickle(path)
        if len(labels) != len(pixels):
            raise ValueError(f"{path}: {len(pixels)} images but {len(labels)} labels")
        return torch.from_numpy(pixels.reshape(-1, 3, 32, 32).copy()), torch.as_tensor(labels, dtype=torch.int64)


def _read_pickle(path: Path) -> tuple[np.ndarray, list[int]]:
    batch = load_array_pickle(path)
    if not isinstance(batch, dict) or not {"data", "labels"} <= set(batch):
        raise ValueError(f'{path}: expected a dictionary with "data" and "labels"')
    data = np.asarray(batch["data"])
    if data.ndim != 2 or data.shape[1] != 3072 or data.dtype != np.uint8:
        raise ValueError(f"{path}: expected uint8 data of shape (N, 3072), got {data.dtype} {data.shape}")
    return data, batch["labels"]


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    data = np.fromfile(path, np.uint8)
    if not len(data) or len(data) % 3073:
        raise ValueError(f"{path}: expected records of 3073 bytes (label and 32x32x3 pixels), got {len(data)} bytes")
    records = data.reshape(-1, 3073)
    return records[:, 1:], records[:, 0]


class SVHN(DownloadableModule):
    """House numbers cropped to single digits, 32x32 colour: 73,257 train, 26,032 test and 531,131 extra images.

    Files: `train_32x32.mat`, `test_32x32.mat`, `extra_32x32.mat` in `root`; label 10 of the files is digit 0.

    Args:
        root: folder of the data set.
        download: fetch missing files through torchvision.
        extra: add the extra images to the training part.
        validation: training images kept for validation.
        kwargs: those of `ImageDataModule`.
    """

    def __init__(
        self, root: str = "data", download: bool = False, extra: bool = False, validation: int = 5000, **kwargs
    ):
        super().__init__(root, download, validation=validation, **kwargs)
        self.extra = extra

    def fetch(self):
        import torchvision

        for split in ("train", "test", *(["extra"] if self.extra else [])):
            torchvision.datasets.SVHN(str(self.root), split=split, download=True)

    def source(self, part):
        names = ["train", "extra"] if part == "train" and self.extra else [part]
        parts = [self._read(find_file(self.root, [f"{name}_32x32.mat"], self.hint)) for name in names]
        images, labels = (torch.cat(column) for column in zip(*parts, strict=True))
        return ImageSet(images, labels)

    @staticmethod
    def _read(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
        mat = read_mat(path, ("X", "y"))
        images, labels = mat["X"], mat["y"].reshape(-1).astype(np.int64)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[2] != 3 or images.shape[3] != len(labels):
            raise ValueError(
                f"{path}: expected uint8 X of shape (32, 32, 3, N) and N labels, got {images.dtype} {images.shape} "
                f"and {len(labels)}"
            )
        return torch.from_numpy(np.ascontiguousarray(images.transpose(3, 2, 0, 1))), torch.from_numpy(labels % 10)

"""MNIST and Fashion-MNIST in the IDX format."""

from __future__ import annotations

import numpy as np
import torch

from flowsuite.core.data.idx import read_idx
from flowsuite.core.training.files import find_file
from flowsuite.images.data_base import DownloadableModule
from flowsuite.images.datasets import ImageSet


class MNIST(DownloadableModule):
    """Handwritten digits, 28x28 grey, 60,000 train and 10,000 test images, labels 0..9.

    Files: `{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]` in `root`, `root/MNIST/raw` or `root/raw`.

    Args:
        root: folder of the data set.
        download: fetch missing files through torchvision.
        validation: training images kept for validation.
        kwargs: those of `ImageDataModule`; `pad_to: 32` and `tile: 3` give Glow's version.
    """

    folder = "MNIST"

    def __init__(self, root: str = "data", download: bool = False, validation: int = 10000, **kwargs):
        super().__init__(root, download, validation=validation, **kwargs)

    def fetch(self):
        import torchvision

        for train in (True, False):
            getattr(torchvision.datasets, self.folder)(str(self.root), train=train, download=True)

    def _read(self, name: str, ndim: int) -> np.ndarray:
        folders = ("", f"{self.folder}/raw/", "raw/")
        path = find_file(self.root, [f"{folder}{name}{gz}" for folder in folders for gz in ("", ".gz")], self.hint)
        array = read_idx(path)
        if array.ndim != ndim:
            raise ValueError(f"{path}: expected {'images' if ndim == 3 else 'labels'}, got shape {array.shape}")
        return array

    def source(self, part):
        prefix = "train" if part == "train" else "t10k"
        images, labels = self._read(f"{prefix}-images-idx3-ubyte", 3), self._read(f"{prefix}-labels-idx1-ubyte", 1)
        if len(images) != len(labels):
            raise ValueError(f"{self.root}: {len(images)} {prefix} images but {len(labels)} labels")
        return ImageSet(torch.from_numpy(images.copy())[:, None], torch.from_numpy(labels.copy()))


class FashionMNIST(MNIST):
    """Articles of clothing in the format of MNIST (Xiao et al. 2017, arXiv 1708.07747)."""

    folder = "FashionMNIST"

"""LSUN scenes from LMDB databases."""

from __future__ import annotations

from pathlib import Path

import torch

from flowsuite.core.training.files import find_file
from flowsuite.core.training.pictures import decode_image
from flowsuite.images.data_base import ImageDataModule
from flowsuite.images.data_folder import ImageReader
from flowsuite.images.datasets import ImageFiles
from flowsuite.images.lmdb_files import open_lmdb


class LSUN(ImageDataModule):
    """One or more scene categories (Yu et al. 2015, arXiv 1506.03365).

    In `root`, for each category, the LMDB folders `<category>_train_lmdb` and `<category>_val_lmdb` as distributed:
    encoded images by key. The test part is the published validation set (300 images a category). As for RealNVP and
    Glow, images are brought to a short side of `resize` and training takes random squares of `size`; validation and
    test take the central one, so that their figures do not depend on a draw.

    Args:
        root: folder of the databases.
        categories: such as `[bedroom]`, `[church_outdoor]`, `[tower]`; the label is the position in this list.
        size: height and width of the squares.
        resize: short side before cropping.
        validation: training images kept for validation.
        skip_bad: leave out images that cannot be read, with a warning that counts them, instead of stopping.
        kwargs: those of `ImageDataModule`; RealNVP trains with `flip: true`.
    """

    def __init__(
        self,
        root: str = "data",
        categories: list[str] | None = None,
        size: int = 64,
        resize: int = 96,
        validation: int = 1000,
        skip_bad: bool = False,
        **kwargs,
    ):
        super().__init__(validation=validation, **kwargs)
        self.root, self.categories, self.skip_bad = Path(root), categories or ["bedroom"], skip_bad
        self.reader, self.train_reader = ImageReader(3, size, resize), ImageReader(3, size, resize, random_crop=True)

    def make_dataset(self, split):
        dataset = super().make_dataset(split)
        dataset.read = LMDBReader(self.train_reader if split == "train" else self.reader)
        return dataset

    def source(self, part):
        end = "train" if part == "train" else "val"
        keys, labels = [], []
        for label, category in enumerate(self.categories):
            path = find_file(self.root, [f"{category}_{end}_lmdb"], "expected this LMDB folder")
            found = lmdb_keys(path)
            keys += [(str(path), key) for key in found]
            labels += [label] * len(found)
        return ImageFiles(keys, torch.tensor(labels), LMDBReader(self.reader), self.skip_bad)


def lmdb_keys(path: str | Path) -> list[bytes]:
    keys = open_lmdb(path).keys()
    if not keys:
        raise ValueError(f"{path}: the database is empty")
    return keys


class LMDBReader:
    """`(database, key)` to a tensor."""

    def __init__(self, reader: ImageReader):
        self.reader = reader

    def __call__(self, key: tuple[str, bytes]) -> torch.Tensor:
        path, name = key
        data = open_lmdb(path).get(name)
        label = f"{path}, key {name.decode(errors='replace')}"
        if data is None:
            raise ValueError(f"{label}: not in the database")
        return self.reader.convert(decode_image(data, label), label)

"""LSUN scenes from LMDB databases."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from flowsuite.core.training.files import find_file, read_at
from flowsuite.core.training.pictures import decode_image
from flowsuite.images.data_base import ImageDataModule
from flowsuite.images.data_folder import ImageReader
from flowsuite.images.datasets import ImageFiles


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


MAGIC = (0xBEEFC0DE).to_bytes(4, "little") + (1).to_bytes(4, "little")
PAGE_SIZE, META_END = 40, 152  # of a meta page: where it says how large pages are, and its end
EMPTY = (1 << 64) - 1  # the root of a database without entries

_environments: dict[str, object] = {}


def open_lmdb(path: str | Path):
    """The read-only LMDB environment at `path`, opened once in a process."""
    import lmdb

    path = str(path)
    if path not in _environments:
        check_lmdb(path)
        try:
            _environments[path] = lmdb.open(path, readonly=True, create=False, lock=False, readahead=False)
        except lmdb.Error as error:
            raise ValueError(f"{path}: not a readable LMDB database ({error})") from None
    return _environments[path]


def check_lmdb(path: str) -> None:
    """That a database is all there, as its two descriptions (LMDB's meta pages) say: reading beyond a file's end would
    kill the process. Damage within pages is not found so; LMDB itself trusts them."""
    file = Path(path, "data.mdb")
    if not file.is_file():
        raise FileNotFoundError(f"{file} not found: expected the LMDB folder as distributed")
    size = file.stat().st_size
    page = int.from_bytes(read_at(str(file), PAGE_SIZE, 4), "little")
    if page not in (1 << n for n in range(9, 17)):
        raise ValueError(f"{path}: not a readable LMDB database (pages of {page} bytes)")
    newest = (-1, 0, 0)
    for place in (0, page):
        meta = read_at(str(file), place, META_END)
        if (
            len(meta) < META_END
            or meta[16:24] != MAGIC
            or meta[PAGE_SIZE : PAGE_SIZE + 4] != page.to_bytes(4, "little")
        ):
            raise ValueError(f"{path}: not a readable LMDB database (its description at byte {place} is damaged)")
        root, last, transaction = (int.from_bytes(meta[at : at + 8], "little") for at in (128, 136, 144))
        newest = max(newest, (transaction, last, root))
    _, last, root = newest
    if (last + 1) * page > size or (root > last and root != EMPTY):
        raise ValueError(f"{path}: truncated, {size} bytes of {(last + 1) * page} are there")


def close_lmdb() -> None:
    """Closes every environment; they open again when read."""
    while _environments:
        _environments.popitem()[1].close()


# An LMDB environment must not be carried across a fork, and worker processes of a loader are forks.
os.register_at_fork(before=close_lmdb)


def lmdb_keys(path: str | Path) -> list[bytes]:
    with open_lmdb(path).begin() as transaction:
        keys = list(transaction.cursor().iternext(keys=True, values=False))
    if not keys:
        raise ValueError(f"{path}: the database is empty")
    return keys


class LMDBReader:
    """`(database, key)` to a tensor."""

    def __init__(self, reader: ImageReader):
        self.reader = reader

    def __call__(self, key: tuple[str, bytes]) -> torch.Tensor:
        path, name = key
        with open_lmdb(path).begin() as transaction:
            data = transaction.get(name)
        label = f"{path}, key {name.decode(errors='replace')}"
        if data is None:
            raise ValueError(f"{label}: not in the database")
        return self.reader.convert(decode_image(data, label), label)

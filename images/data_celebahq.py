"""CelebA-HQ as openai/glow distributes it: TFRecords of raw pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from flowsuite.core.data.tfrecord import parse_example, record_offsets
from flowsuite.core.training.files import read_at
from flowsuite.images.data_base import ImageDataModule
from flowsuite.images.datasets import ImageFiles


class CelebAHQ(ImageDataModule):
    """27,000 train and 3,000 test faces (Karras et al. 2018, arXiv 1710.10196), from 4x4 up to 256x256.

    Files: `train/*-r<log2 size>-*.tfrecords` and `validation/...` in `root`, whose Examples hold `shape` int64[3]
    (height, width, channels), `data` (uint8 pixels), `label` int64[1] and `attr` int64[40]. The test part is the
    published validation part.

    Args:
        root: folder of the data set.
        size: height and width: a power of two that there are files of.
        attribute: number 0..39 of the attribute that becomes the label (1 if it holds, else 0); `label` without it.
        validation: training images kept for validation.
        skip_bad: leave out images that cannot be read, with a warning that counts them, instead of stopping.
        kwargs: those of `ImageDataModule`.
    """

    def __init__(
        self,
        root: str = "data",
        size: int = 256,
        attribute: int | None = None,
        validation: int = 500,
        skip_bad: bool = False,
        **kwargs,
    ):
        super().__init__(validation=validation, **kwargs)
        if size < 4 or size & (size - 1):
            raise ValueError(f"size must be a power of two from 4 on, got {size}")
        if attribute is not None and not 0 <= attribute < 40:
            raise ValueError(f"attribute must be between 0 and 39, got {attribute}")
        self.root, self.size, self.attribute, self.skip_bad = Path(root), size, attribute, skip_bad

    def source(self, part):
        folder = self.root / ("train" if part == "train" else "validation")
        pattern = f"*-r{self.size.bit_length() - 1:02d}-*.tfrecords"
        paths = sorted(folder.glob(pattern))
        if not paths:
            raise FileNotFoundError(f"{folder} holds no files {pattern}: expected the TFRecords of openai/glow")
        keys = [(str(path), offset, length) for path in paths for offset, length in record_offsets(path)]
        if not keys:
            raise ValueError(f"{folder}: the files {pattern} hold no records, {paths[0].name} first")
        return ImageFiles(keys, torch.tensor([self._label(key) for key in keys]), self.read, self.skip_bad)

    @staticmethod
    def _example(key: tuple[str, int, int]) -> dict:
        path, offset, length = key
        try:
            return parse_example(read_at(path, offset, length))
        except (ValueError, KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}, record at byte {offset}: cannot be read ({error})") from None

    def _label(self, key: tuple[str, int, int]) -> int:
        example = self._example(key)
        values = example.get("label" if self.attribute is None else "attr") or [0]
        if self.attribute is None:
            return values[0]
        if len(values) != 40:
            raise ValueError(f"{key[0]}, record at byte {key[1]}: expected 40 attributes, got {len(values)}")
        return int(values[self.attribute] > 0)

    def read(self, key: tuple[str, int, int]) -> torch.Tensor:
        example = self._example(key)
        shape, data = example.get("shape"), example.get("data", b"")
        if shape != [self.size, self.size, 3] or not isinstance(data, bytes) or len(data) != 3 * self.size**2:
            raise ValueError(
                f"{key[0]}, record at byte {key[1]}: expected {self.size}x{self.size}x3 bytes, got shape {shape} and "
                f"{len(data)} bytes"
            )
        pixels = np.frombuffer(data, np.uint8).reshape(self.size, self.size, 3)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())

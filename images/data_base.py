"""Base of the image data modules: splits, padding, tiling, augmentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.training.data import FlowDataModule
from flowsuite.core.training.files import reason
from flowsuite.images.augment import random_flip, random_shift
from flowsuite.images.datasets import ImageFiles, ImageSet


class ImageDataModule(FlowDataModule):
    """Batches of `(images, labels)`: uint8 (B, C, H, W) with values 0..255, and int64 (B,).

    A data set overrides `source(part)`; one that ships its own validation part sets `has_validation`. Otherwise the
    validation split is drawn from the training part with a fixed seed, never from the test part.

    Args:
        batch_size: images per process and step.
        num_workers: worker processes of each loader; 0 loads in the training process.
        validation: images taken from the training part for validation (ignored where the set has its own).
        pad_to: pad every image with zeros to this height and width, content centred; 0 leaves it.
        tile: repeat a grey channel to this many channels; 0 leaves it.
        flip: mirror training images left to right at random.
        shift: shift training images by up to this fraction of their size, border repeated (Glow: 0.1); 0 for none.
        split_seed: seed of the draw of the validation split.
    """

    has_validation = False

    def __init__(
        self,
        batch_size: int = 64,
        num_workers: int = 0,
        validation: int = 0,
        pad_to: int = 0,
        tile: int = 0,
        flip: bool = False,
        shift: float = 0.0,
        split_seed: int = 0,
    ):
        super().__init__(batch_size, num_workers)
        if not 0 <= shift < 1:
            raise ValueError(f"shift must be a fraction of the image in [0, 1), got {shift}")
        self.validation, self.pad_to, self.tile = validation, pad_to, tile
        self.flip, self.shift, self.split_seed = flip, shift, split_seed
        self._sources: dict[str, ImageSet | ImageFiles] = {}

    def source(self, part: str) -> ImageSet | ImageFiles:
        """The data as distributed: part "train" or "test", and "val" where `has_validation`."""
        raise NotImplementedError(f"{type(self).__name__} must define source(part)")

    def make_dataset(self, split):
        if split == "test" or self.has_validation:
            return self._prepared(self.source(split), split)
        if "train" not in self._sources:
            self._sources["train"] = self.source("train")
        whole = self._sources["train"]
        if not 0 < self.validation < len(whole):
            raise ValueError(
                f"validation must be between 1 and {len(whole) - 1}, the training part of {type(self).__name__} has "
                f"{len(whole)} images; got {self.validation}"
            )
        order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(self.split_seed))
        chosen = order[: self.validation] if split == "val" else order[self.validation :]
        return self._prepared(whole.subset(chosen.sort().values), split)

    def _prepared(self, dataset, split: str):
        # In the data set, not on the device: the loader seeds what happens here, so that a resumed run repeats it.
        if split == "train":
            dataset.transform = self.prepare_training
        elif self.pad_to or self.tile:
            dataset.transform = self.pad_and_tile
        return dataset

    def prepare_training(self, x: Tensor) -> Tensor:
        return self.augment(self.pad_and_tile(x))

    def pad_and_tile(self, x: Tensor) -> Tensor:
        """`pad_to` and `tile` on a batch (B, C, H, W)."""
        if self.pad_to:
            height, width = x.shape[-2:]
            down, across = self.pad_to - height, self.pad_to - width
            if down < 0 or across < 0:
                raise ValueError(f"cannot pad images of {height}x{width} to {self.pad_to}x{self.pad_to}")
            x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        if self.tile:
            if x.shape[1] != 1:
                raise ValueError(f"tile needs images with one channel, got {x.shape[1]}")
            x = x.expand(-1, self.tile, -1, -1).contiguous()
        return x

    def augment(self, x: Tensor) -> Tensor:
        """What happens to a batch of training images; override for augmentations of your own."""
        if self.shift:
            x = random_shift(x, self.shift)
        return random_flip(x) if self.flip else x


class DownloadableModule(ImageDataModule):
    """A set that torchvision can fetch.

    Args:
        root: folder of the data set.
        download: fetch what is missing through torchvision (needs a network); otherwise a missing file is an error.
        kwargs: those of `ImageDataModule`.
    """

    def __init__(self, root: str = "data", download: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.root, self.download = Path(root), download

    def fetch(self) -> Callable | None:
        """Downloads with torchvision, which also checks the published checksums."""
        raise NotImplementedError

    def prepare_data(self):
        if self.download:
            try:
                self.fetch()
            except Exception as error:  # torchvision has no error of its own for a checksum that differs
                raise ValueError(f"{self.root}: {type(self).__name__} cannot be fetched ({reason(error)})") from None

    @property
    def hint(self) -> str:
        return "set download to true to fetch it, or root to the folder that has it"

"""Binarisation of grey images: static, dynamic, by threshold."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.images.data_base import ImageDataModule
from flowsuite.images.datasets import ImageSet

WAYS = ("static", "dynamic", "threshold")
CHUNK = 4096  # images drawn at a time
PARTS = {"train": 0, "val": 1, "test": 2}


def draw_binary(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """255 with probability x / 255, else 0, of every pixel; uint8 to uint8."""
    return 255 * (255 * torch.rand(x.shape, generator=generator) < x).to(torch.uint8)


class BinaryImageModule(ImageDataModule):
    """Grey images made binary, values 0 and 255. `source(part)` gives the grey ones, in memory.

    Args:
        binarize: "static": every pixel is drawn once, 1 with the probability that its grey value is of white;
            "dynamic": training images are drawn anew in every batch, the others once; "threshold": 1 from 128 on.
        binarize_seed: of the draws made once; each split has its own.
        kwargs: those of `ImageDataModule`.
    """

    def __init__(self, binarize: str = "static", binarize_seed: int = 777, **kwargs):
        super().__init__(**kwargs)
        if binarize not in WAYS:
            raise ValueError(f"binarize must be one of {', '.join(WAYS)}, got {binarize!r}")
        self.binarize, self.binarize_seed = binarize, binarize_seed

    def make_dataset(self, split):
        dataset = super().make_dataset(split)
        if split == "train" and self.binarize == "dynamic":
            return dataset
        images = dataset.images[dataset.indices]
        if self.binarize == "threshold":
            images = 255 * (images > 127).to(torch.uint8)
        else:
            generator = torch.Generator().manual_seed(self.binarize_seed + PARTS[split])
            images = torch.cat([draw_binary(part, generator) for part in images.split(CHUNK)])
        return ImageSet(images, dataset.labels[dataset.indices], transform=dataset.transform)

    def augment(self, x):
        x = super().augment(x)
        return draw_binary(x) if self.binarize == "dynamic" else x

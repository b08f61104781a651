"""Sets of images as (uint8 tensor, label) pairs: held in memory, or read from files one by one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset


def check_uint8(images: Tensor, name: str) -> Tensor:
    """`images` if they are uint8 (N, C, H, W); says what is wrong with set `name` otherwise."""
    if images.dtype != torch.uint8:
        raise ValueError(f"{name}: expected uint8 images with values 0..255, got {images.dtype}")
    if images.ndim != 4 or not images.numel():
        raise ValueError(f"{name}: expected images of shape (N, C, H, W), got {tuple(images.shape)}")
    return images


class ImageSet(Dataset):
    """Images in memory. A batch is one gather: `__getitems__` returns `(images, labels)` already stacked.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) integers; zeros if None.
        indices: the rows that belong to the set, all if None.
        transform: applied to batches (B, C, H, W) as they are read.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        indices: Tensor | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
    ):
        self.images = check_uint8(images, "image set")
        self.labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels.to(torch.int64)
        if len(self.labels) != len(images):
            raise ValueError(f"expected one label for each of the {len(images)} images, got {len(self.labels)}")
        self.indices = torch.arange(len(images)) if indices is None else indices
        self.transform = transform

    def subset(self, indices: Tensor) -> ImageSet:
        return ImageSet(self.images, self.labels, self.indices[indices], self.transform)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        images, labels = self.__getitems__([i])
        return images[0], int(labels[0])

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        rows = self.indices[torch.as_tensor(indices)]
        images = self.images[rows]
        return (images if self.transform is None else self.transform(images)), self.labels[rows]


class ImageFiles(Dataset):
    """Images decoded when asked for.

    Args:
        keys: names of the images (paths, archive members, database keys).
        labels: (N,) integers; zeros if None.
        read: from a key to a uint8 (C, H, W) tensor of the set's one shape; raises OSError or ValueError naming the
            key if it cannot.
        skip_bad: leave images out that cannot be read, with a warning that counts them, instead of stopping.
        transform: applied to batches (B, C, H, W) as they are read.
    """

    def __init__(
        self,
        keys: Sequence,
        labels: Tensor | None,
        read: Callable[[object], Tensor],
        skip_bad: bool = False,
        transform: Callable[[Tensor], Tensor] | None = None,
    ):
        self.keys, self.read, self.skip_bad, self.transform = keys, read, skip_bad, transform
        self.labels = torch.zeros(len(keys), dtype=torch.int64) if labels is None else labels.to(torch.int64)
        self.bad: set = set()

    def subset(self, indices: Tensor) -> ImageFiles:
        keys = [self.keys[i] for i in indices.tolist()]
        return ImageFiles(keys, self.labels[indices], self.read, self.skip_bad, self.transform)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        images, labels = self.__getitems__([i])
        return images[0], int(labels[0])

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        images, kept = [], []
        for i in indices:
            image = self._read_or_skip(self.keys[i])
            if image is not None:
                images.append(image)
                kept.append(i)
        if not images:
            raise ValueError(
                f"none of the {len(indices)} images of a batch could be read, {self.keys[indices[0]]} first"
            )
        for i, image in zip(kept, images, strict=True):
            if image.shape != images[0].shape:
                raise ValueError(
                    f"{self.keys[i]}: shape {tuple(image.shape)} differs from {tuple(images[0].shape)} of "
                    f"{self.keys[kept[0]]}; set a size to bring all images to one"
                )
        batch = torch.stack(images)
        return (batch if self.transform is None else self.transform(batch)), self.labels[torch.as_tensor(kept)]

    def _read_or_skip(self, key) -> Tensor | None:
        try:
            return self.read(key)
        except (OSError, ValueError) as error:
            if not self.skip_bad:
                raise
            self.bad.add(key)
            warnings.warn(f"skipped {len(self.bad)} unreadable images so far, the last: {error}", stacklevel=2)
            return None

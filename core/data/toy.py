"""The toy densities as a data module."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from flowsuite.core.data.densities import check_toy, sample_toy
from flowsuite.core.data.image_density import ImageDensity
from flowsuite.core.data.rows import Rows
from flowsuite.core.training.data import SPLITS, FlowDataModule
from flowsuite.core.training.seeding import fold_seed


class Stream(Dataset):
    """`n` points an epoch, new ones whenever they are asked for, from torch's generator.

    The loader seeds that generator from (seed, rank, epoch, batch): an epoch can be repeated and resumed exactly.
    """

    def __init__(self, sample: Callable[[int], Tensor], n: int):
        self.sample, self.n = sample, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Tensor:
        return self.sample(1)[0]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        return self.sample(len(indices))


class Toy(FlowDataModule):
    """Points in the plane, float32 (B, 2), of a toy density (arXiv 1810.01367): nothing to download.

    Example:
        >>> data = Toy("2spirals", batch_size=512)
        >>> next(iter(data.train_dataloader())).shape
        torch.Size([512, 2])

    Args:
        name: swissroll, circles, rings, moons, 8gaussians, pinwheel, 2spirals, checkerboard, line or cos.
        image: an image file to use as the density in place of `name`, see `ImageDensity`.
        train: points of an epoch of training.
        val, test: points of these sets, the same in every run with this `seed`.
        resample: every epoch of training has new points, drawn with the seed of the run; otherwise a fixed set.
        seed: of the fixed sets.
        batch_size, num_workers: as in `FlowDataModule`.
    """

    def __init__(
        self,
        name: str = "8gaussians",
        image: str | None = None,
        train: int = 50_000,
        val: int = 10_000,
        test: int = 20_000,
        resample: bool = True,
        seed: int = 0,
        batch_size: int = 512,
        num_workers: int = 0,
    ):
        super().__init__(batch_size, num_workers)
        self.sizes = dict(zip(SPLITS, (train, val, test), strict=True))
        for split, size in self.sizes.items():
            if size < 1:
                raise ValueError(f"{split} must be at least 1 point, got {size}")
        self.name, self.image, self.resample, self.seed = check_toy(name), image, resample, seed
        self.density: ImageDensity | None = None

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """`n` points of the density, (n, 2)."""
        if self.image is None:
            return sample_toy(self.name, n, generator)
        if self.density is None:
            self.density = ImageDensity(self.image)
        return self.density.sample(n, generator)

    def make_dataset(self, split):
        n = self.sizes[split]
        if split == "train" and self.resample:
            self.sample(1, torch.Generator())  # an unreadable image shows now, not in a worker
            return Stream(self.sample, n)
        seed = fold_seed(self.seed, "toy", split)
        return Rows(self.sample(n, torch.Generator().manual_seed(seed)))

"""Base of all data modules."""

from __future__ import annotations

import pytorch_lightning as pl
from torch.utils.data import Dataset

from flowsuite.core.training.loader import FlowLoader

SPLITS = ("train", "val", "test")


class FlowDataModule(pl.LightningDataModule):
    """Batches of `(x, context)` for a flow; a domain says what the data are by overriding `make_dataset`.

    The loaders shuffle, shard over processes and resume by themselves, see `FlowLoader`.

    Args:
        batch_size: examples per process and step.
        num_workers: worker processes of each loader; 0 loads in the training process.
    """

    def __init__(self, batch_size: int = 64, num_workers: int = 0):
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if num_workers < 0:
            raise ValueError(f"num_workers must be at least 0, got {num_workers}")
        self.batch_size, self.num_workers = batch_size, num_workers
        self._datasets: dict[str, Dataset] = {}

    def make_dataset(self, split: str) -> Dataset:
        """The data set of `split` ("train", "val" or "test"): items are `(x, context)` pairs.

        It may also define `__getitems__(indices)`, which gives a whole batch at once: for data in memory that is one
        gather instead of a loop.
        """
        raise NotImplementedError(f"{type(self).__name__} must define make_dataset(split)")

    def dataset(self, split: str) -> Dataset:
        """The data set of `split`, made once."""
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
        if split not in self._datasets:
            self._datasets[split] = self.make_dataset(split)
        return self._datasets[split]

    def train_dataloader(self):
        return self._loader("train", shuffle=True)

    def val_dataloader(self):
        return self._loader("val")

    def test_dataloader(self):
        return self._loader("test")

    def predict_dataloader(self):
        return self._loader("test")

    def _loader(self, split: str, shuffle: bool = False) -> FlowLoader:
        return FlowLoader(self.dataset(split), self.batch_size, split, shuffle, self.num_workers)

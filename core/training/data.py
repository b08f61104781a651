"""Base of all data modules."""

from __future__ import annotations

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset

SPLITS = ("train", "val", "test")


class FlowDataModule(pl.LightningDataModule):
    """Batches of `(x, context)` for a flow; a domain says what the data are by overriding `make_dataset`.

    Args:
        batch_size: examples per process and step.
        num_workers: worker processes of each loader; 0 loads in the training process.
    """

    def __init__(self, batch_size: int = 64, num_workers: int = 0):
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size, self.num_workers = batch_size, num_workers
        self._datasets: dict[str, Dataset] = {}

    def make_dataset(self, split: str) -> Dataset:
        """The data set of `split` ("train", "val" or "test"): items are `(x, context)` pairs."""
        raise NotImplementedError(f"{type(self).__name__} must define make_dataset(split)")

    def dataset(self, split: str) -> Dataset:
        """The data set of `split`, made once."""
        if split not in self._datasets:
            self._datasets[split] = self.make_dataset(split)
        return self._datasets[split]

    def train_dataloader(self):
        return self._loader("train", shuffle=True, drop_last=True)

    def val_dataloader(self):
        return self._loader("val")

    def test_dataloader(self):
        return self._loader("test")

    def predict_dataloader(self):
        return self._loader("test")

    def _loader(self, split: str, shuffle: bool = False, drop_last: bool = False) -> DataLoader:
        return DataLoader(
            self.dataset(split),
            batch_size=self.batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=self.num_workers,
        )

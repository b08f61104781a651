"""A loader of batches that are a function of (seed, epoch, batch number, rank), and that resumes in mid-epoch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from flowsuite.core.training.seeding import fold_seed, global_seed


def world() -> tuple[int, int]:
    """(rank, number of processes) of this run."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class FlowLoader:
    """Batches of a map-style data set, in an order that anybody can compute again.

    - Training (`shuffle`): epoch `e` is the permutation drawn from `(seed, e)`. Global batch `b` is its slice
      `b * n_ranks * batch_size` onwards, of which every rank takes its share; what does not fill a batch is dropped.
      So n ranks with batch size B see together what one process with n * B sees.
    - Evaluation: the data set in order. Every example once, except that a last global batch with fewer examples than
      ranks is filled up with its first ones.
    - Random augmentation in the data set sees RNGs (torch, NumPy, random) seeded from `(seed, rank, epoch, batch)`,
      whichever process it runs in. The state of the training process's RNGs is left alone.
    - `state_dict()` counts the batches handed out, not those that workers have prefetched: a loader that got it back
      goes on with the very next batch. `set_epoch` with another epoch than the state's starts that epoch at its first.

    A data set with `__getitems__(indices)` is asked for whole batches: it may return a collated batch (a tensor, or a
    tuple of tensors), or a list of items as torch's own protocol has it.

    Args:
        dataset: map-style.
        batch_size: examples per rank.
        split: name that separates the random streams of the splits.
        shuffle: training order, as above.
        num_workers: processes that load; 0 loads here.
        collate: from a list of items to a batch.
    """

    batch_sampler = None  # Lightning looks for it wherever there is a sampler

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        split: str = "train",
        shuffle: bool = False,
        num_workers: int = 0,
        collate: Callable[[list], Any] = default_collate,
    ):
        self.dataset, self.batch_size, self.split, self.shuffle = dataset, batch_size, split, shuffle
        self.num_workers, self.collate = num_workers, collate
        self.epoch = 0
        self._position = (0, 0)  # epoch and number of batches handed out of it
        self._restored: tuple[int, int] | None = None
        self._workers: DataLoader | None = None
        self._keys: list = []
        if len(self) == 0:
            needed = batch_size * world()[1] if shuffle else 1
            raise ValueError(
                f"the {split} set has {len(dataset)} examples, fewer than the {needed} of one batch: lower batch_size"
            )

    @property
    def sampler(self) -> FlowLoader:
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches per epoch on every rank."""
        per_step = self.batch_size * world()[1]
        full, rest = divmod(len(self.dataset), per_step)
        return full + int(rest > 0 and not self.shuffle)

    def state_dict(self) -> dict[str, int]:
        epoch, batch = self._position
        return {"epoch": epoch, "batch": batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._restored = self._position = (state["epoch"], state["batch"])

    def __iter__(self) -> Iterator[Any]:
        # A generator: the epoch is looked up at the first batch, when Lightning has said which one it is.
        start = 0
        if self._restored is not None:
            epoch, batch = self._restored
            start = batch if epoch == self.epoch and batch < len(self) else 0
            self._restored = None
        epoch = self.epoch
        for number, batch in enumerate(self._batches(epoch, range(start, len(self))), start):
            self._position = (epoch, number + 1)
            if number + 1 == len(self):
                self.epoch = epoch + 1
            yield batch

    def peek(self, start: int, n: int) -> list[Any]:
        """Batches `start` to `start + n - 1` of the present epoch (as far as there are), moving nothing."""
        numbers = range(start, min(start + n, len(self)))
        fetch = BatchDataset(self.dataset, self.collate)
        return [fetch[key] for key in self._make_keys(self.epoch, numbers)]

    def indices(self, epoch: int, number: int, order: torch.Tensor | None = None) -> list[int]:
        """The examples of this rank in one batch."""
        rank, ranks = world()
        n = len(self.dataset)
        per_step = self.batch_size * ranks
        first, last = number * per_step, min((number + 1) * per_step, n)
        chunk = torch.arange(first, last) if order is None else order[first:last]
        if len(chunk) < ranks:
            chunk = chunk[torch.arange(ranks) % len(chunk)]
        return torch.tensor_split(chunk, ranks)[rank].tolist()

    def order(self, epoch: int) -> torch.Tensor | None:
        """The permutation of an epoch, None when examples come in order."""
        if not self.shuffle:
            return None
        generator = torch.Generator().manual_seed(fold_seed(global_seed(), "order", self.split, epoch))
        return torch.randperm(len(self.dataset), generator=generator)

    def _make_keys(self, epoch: int, numbers: range) -> list[tuple[int, list[int]]]:
        order = self.order(epoch)
        rank = world()[0]
        epoch_of_noise = epoch if self.shuffle else 0  # evaluation is the same every time
        return [
            (
                fold_seed(global_seed(), rank, "data", self.split, epoch_of_noise, number),
                self.indices(epoch, number, order),
            )
            for number in numbers
        ]

    def _batches(self, epoch: int, numbers: range) -> Iterator[Any]:
        keys = self._make_keys(epoch, numbers)
        pin = torch.cuda.is_available()
        if not self.num_workers and not pin:
            fetch = BatchDataset(self.dataset, self.collate)
            return (fetch[key] for key in keys)
        self._keys[:] = keys  # the workers live on from epoch to epoch and read this list anew
        if self._workers is None:
            self._workers = DataLoader(
                BatchDataset(self.dataset, self.collate),
                batch_size=None,
                sampler=self._keys,
                collate_fn=as_is,
                num_workers=self.num_workers,
                persistent_workers=self.num_workers > 0,
                pin_memory=pin,
            )
        return iter(self._workers)


def as_is(batch: Any) -> Any:
    return batch


class BatchDataset(Dataset):
    """Whole batches by `(seed, indices)`."""

    def __init__(self, dataset: Dataset, collate: Callable[[list], Any]):
        self.dataset, self.collate = dataset, collate
        self.fetch = getattr(dataset, "__getitems__", None)

    def __getitem__(self, key: tuple[int, list[int]]) -> Any:
        seed, indices = key
        with seeded(seed):
            if self.fetch is None:
                return self.collate([self.dataset[i] for i in indices])
            batch = self.fetch(indices)
            return self.collate(batch) if isinstance(batch, list) else batch


class seeded:
    """Within this block torch's CPU generator, NumPy's and Python's start from `seed`; after it they are as before."""

    def __init__(self, seed: int):
        self.seed = seed

    def __enter__(self) -> None:
        self.states = torch.get_rng_state(), np.random.get_state(), random.getstate()
        torch.default_generator.manual_seed(self.seed)
        np.random.seed(self.seed % 2**32)
        random.seed(self.seed)

    def __exit__(self, *error: object) -> None:
        torch.set_rng_state(self.states[0])
        np.random.set_state(self.states[1])
        random.setstate(self.states[2])

"""HEPMASS: text files, and a cache of what comes out of them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flowsuite.core.data.numbers import read_csv
from flowsuite.core.data.tabular import Splits, TabularModule, standardise
from flowsuite.core.training.data import SPLITS
from flowsuite.core.training.files import atomic_write, reading
from flowsuite.core.training.numpy_files import load_npz


class Hepmass(TabularModule):
    """Decays of exotic particles at mass 1000, 21 columns; 315,123 / 35,013 / 174,987 rows.

    `hepmass/1000_train.csv` and `1000_test.csv`. Rows with label 1, without the label and without the last column of
    the test file, which the training file does not have. Standardised by the mean and standard deviation of the
    training file; columns whose smallest value occurs more than 5 times there are dropped (the published code means
    the most frequent value, and this is what it does). The last tenth of the training file is for validation.

    Args:
        cache: keep the result beside the files as `.npz`, to be used as long as their sizes and times are the same:
            the text takes about a minute to read.
        root, batch_size, num_workers: as in `TabularModule`.
    """

    folder = "hepmass"

    def __init__(self, root: str = "data", cache: bool = True, batch_size: int = 1000, num_workers: int = 0):
        super().__init__(root, batch_size, num_workers)
        self.cache = cache

    def prepare_data(self):
        if self.cache:
            self.read()  # one process writes the cache, and the others wait for it

    def read(self):
        sources = [self.find("1000_train.csv"), self.find("1000_test.csv")]
        if not self.cache:
            return preprocess(*sources)
        return cached(sources, lambda: preprocess(*sources))


def preprocess(train_path: Path, test_path: Path) -> Splits:
    train_names, train = signal_rows(train_path)
    test_names, test = signal_rows(test_path)
    if len(test_names) == len(train_names) + 1:
        test_names, test = test_names[:-1], test[:, :-1]
    if test_names != train_names:
        raise ValueError(f"{test_path}: expected the columns of {train_path.name}, and one more that is dropped")
    n_val = int(0.1 * len(train))
    if n_val < 1 or len(test) < 1:
        raise ValueError(f"{train_path}: {len(train)} rows with label 1 are too few, expected at least 10")
    mean, std = train.mean(0), train.std(0, ddof=1)
    train, val, test = standardise((train[:-n_val], train[-n_val:], test), mean, std, train_path)
    both = np.concatenate([train, val])
    continuous = (both == both.min(0)).sum(0) <= 5
    return train[:, continuous], val[:, continuous], test[:, continuous]


def signal_rows(path: Path) -> tuple[list[str], np.ndarray]:
    """Names and values of all columns but the label, of the rows whose label is 1.

    As many values of each line are read as there are names; what follows is ignored.
    """
    with reading(path, "file of UTF-8 text"), open(path, encoding="utf-8-sig") as file:
        width = file.readline().count(",") + 1
    names, table = read_csv(path, width=width)
    return names[1:], table[table[:, 0] == 1, 1:]


def cached(sources: list[Path], make: Callable[[], Splits]) -> Splits:
    """`make()`, or its result as float32 from an earlier call with the same files."""
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    key = hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]
    path = sources[0].parent / f"flowsuite-{key}.npz"
    if path.is_file():
        try:
            arrays = load_npz(path)
            return tuple(arrays[split] for split in SPLITS)
        except (ValueError, KeyError):
            path.unlink()
    splits = tuple(part.astype(np.float32) for part in make())
    try:
        with atomic_write(path) as file:
            np.savez(file, **dict(zip(SPLITS, splits, strict=True)))
    except OSError as error:
        warnings.warn(f"the text is read again next time: {error}", stacklevel=2)
    return splits

"""The tabular sets of density estimation, from their published files with the preprocessing of MAF (arXiv 1705.07057).

All five are in one archive, `data.tar.gz` of https://zenodo.org/records/1161203. Figures are nats per example of the
standardised data, as in the papers' tables (which print the negative).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flowsuite.core.data.frames import read_frame_pickle
from flowsuite.core.data.numbers import check_table
from flowsuite.core.data.rows import Rows
from flowsuite.core.training.data import SPLITS, FlowDataModule
from flowsuite.core.training.files import find_file, reading
from flowsuite.core.training.numpy_files import load_npy

PUBLISHED = "it is part of data.tar.gz of https://zenodo.org/records/1161203; set root to the folder that holds"
Splits = tuple[np.ndarray, np.ndarray, np.ndarray]


class TabularModule(FlowDataModule):
    """Batches of rows, float32 (B, D). A set overrides `read`.

    Args:
        root: the folder that holds the folder of each set, as the archive unpacks to.
        batch_size, num_workers: as in `FlowDataModule`.
    """

    folder = ""

    def __init__(self, root: str = "data", batch_size: int = 1000, num_workers: int = 0):
        super().__init__(batch_size, num_workers)
        self.root = Path(root)
        self._splits: dict[str, np.ndarray] | None = None

    def read(self) -> Splits:
        """The training, validation and test rows, preprocessed."""
        raise NotImplementedError(f"{type(self).__name__} must define read()")

    def find(self, name: str) -> Path:
        return find_file(self.root / self.folder, [name], f"{PUBLISHED} {self.folder}/")

    def make_dataset(self, split):
        if self._splits is None:
            self._splits = dict(zip(SPLITS, self.read(), strict=True))
        return Rows(self._splits[split].astype(np.float32, copy=False))


def load_array(path: Path, columns: int | None = None) -> np.ndarray:
    """A `.npy` table (N, D) of finite numbers."""
    table = load_npy(path)
    if columns is not None and (table.ndim != 2 or table.shape[1] != columns):
        raise ValueError(f"{path}: expected {columns} columns, got shape {table.shape}")
    return check_table(table, path).astype(np.float64, copy=False)


def split_tail(table: np.ndarray, path: Path) -> Splits:
    """Without shuffling: the last tenth for test, the last tenth of what remains for validation."""
    n_test = int(0.1 * len(table))
    n_val = int(0.1 * (len(table) - n_test))
    if n_val < 1:
        raise ValueError(f"{path}: {len(table)} rows are too few for three splits, expected at least 12")
    cut = len(table) - n_test
    return table[: cut - n_val], table[cut - n_val : cut], table[cut:]


def standardise(splits: Splits, mean: np.ndarray, std: np.ndarray, path: Path) -> Splits:
    constant = np.flatnonzero(std == 0)
    if len(constant):
        raise ValueError(f"{path}: column {constant[0]} is constant, and cannot be standardised")
    train, val, test = ((part - mean) / std for part in splits)
    return train, val, test


def standardise_by_train_and_val(table: np.ndarray, path: Path) -> Splits:
    splits = split_tail(table, path)
    known = table[: len(splits[0]) + len(splits[1])]
    return standardise(splits, known.mean(0), known.std(0), path)


class Power(TabularModule):
    """Household electric power consumption, 6 columns; 1,659,917 / 184,435 / 204,928 rows. `power/data.npy`.

    The rows are shuffled with NumPy's `RandomState(42)`, the global reactive power and the global intensity dropped,
    and uniform noise of the measurement's resolution added; the rest is standardised by training and validation.
    """

    folder = "power"

    def read(self):
        path = self.find("data.npy")
        raw = load_array(path, 8)
        random = np.random.RandomState(42)
        table = raw[random.permutation(len(raw))][:, [0, 2, 4, 5, 6, 7]]  # the stream of shuffling in place
        table[:, 1:2] += 0.01 * random.rand(len(raw), 1)
        table[:, 0:1] += 0.001 * random.rand(len(raw), 1)
        table[:, 2:5] += random.rand(len(raw), 3)
        return standardise_by_train_and_val(table, path)


class Gas(TabularModule):
    """Gas sensors under mixtures of ethylene and CO, 8 columns; 852,174 / 94,685 / 105,206 rows.

    `gas/ethylene_CO.pickle`, a pandas DataFrame. Meth, Eth and Time are dropped, and of correlated columns (above 0.98)
    the first, until none is left. Mean and standard deviation are those of *all* rows, the test set among them: kept
    so that figures compare with the published ones.
    """

    folder = "gas"

    def read(self):
        path = self.find("ethylene_CO.pickle")
        names, table = read_frame_pickle(path)
        missing = [name for name in ("Meth", "Eth", "Time") if name not in names]
        if missing:
            raise ValueError(f"{path}: no column {missing[0]!r}, found {', '.join(names)}")
        keep = [i for i, name in enumerate(names) if name not in ("Meth", "Eth", "Time")]
        table = check_table(table[:, keep], path, [names[i] for i in keep])
        table = table[:, uncorrelated(table, path)]
        return standardise(split_tail(table, path), table.mean(0), table.std(0, ddof=1), path)


def uncorrelated(table: np.ndarray, path: Path, limit: float = 0.98) -> list[int]:
    """The columns left when, as long as two have a correlation above `limit`, the first such column is dropped."""
    if not table.std(0).all():
        raise ValueError(f"{path}: column {int(np.argmin(table.std(0)))} of the sensors is constant")
    high = np.atleast_2d(np.corrcoef(table, rowvar=False)) > limit
    np.fill_diagonal(high, False)
    left = list(range(table.shape[1]))
    while True:
        involved = np.flatnonzero(high[np.ix_(left, left)].any(1))
        if not len(involved):
            return left
        del left[involved[0]]


class Miniboone(TabularModule):
    """Electron neutrinos among muon neutrinos, 43 columns; 29,556 / 3,284 / 3,648 rows. `miniboone/data.npy`.

    The published file is without outliers and discrete columns already; standardised by training and validation.
    """

    folder = "miniboone"

    def read(self):
        path = self.find("data.npy")
        return standardise_by_train_and_val(load_array(path), path)


class BSDS300(TabularModule):
    """Patches of 8x8 grey pixels, mean removed, last pixel dropped: 63 columns; 1,000,000 / 50,000 / 250,000 rows.

    `BSDS300/BSDS300.hdf5` with the data sets train, validation and test, used as they are. Needs h5py
    (`flowsuite[tabular]`).
    """

    folder = "BSDS300"

    def read(self):
        path = self.find("BSDS300.hdf5")
        train, val, test = (check_table(part, path) for part in read_hdf5(path, ("train", "validation", "test")))
        if len({part.shape[1] for part in (train, val, test)}) != 1:
            shapes = ", ".join(str(part.shape) for part in (train, val, test))
            raise ValueError(f"{path}: expected as many columns in train, validation and test, got {shapes}")
        return train, val, test


def read_hdf5(path: Path, keys: tuple[str, ...]) -> list[np.ndarray]:
    """The data sets `keys` of an HDF5 file."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"{path} needs h5py: pip install 'flowsuite[tabular]'") from None
    with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
        found = {key: np.asarray(file[key][()]) for key in keys if isinstance(file.get(key), h5py.Dataset)}
    absent = [key for key in keys if key not in found]
    if absent:
        raise ValueError(f"{path}: no data set {absent[0]!r}, expected {', '.join(keys)}")
    return list(found.values())

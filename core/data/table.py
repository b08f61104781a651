"""Any table of numbers as a data module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.data.numbers import check_table, read_csv
from flowsuite.core.data.rows import Rows
from flowsuite.core.data.tabular import load_array
from flowsuite.core.training.data import FlowDataModule
from flowsuite.core.training.numpy_files import load_npz


class Table(FlowDataModule):
    """Rows of a table from a `.npy`, `.npz` or `.csv` file, float32 (B, D), standardised.

    The flow sees `z = (x - mean) / std` with the figures of the training rows. They are kept in checkpoints, and
    resuming with a table that has others is an error. In the units of the table, samples are `table.restore(z)` and
    log-densities `log p(x) = log p(z) + table.log_scale`, in nats.

    Example:
        >>> data = Table("wine.csv", val=0.1, test=0.1)
        >>> data.dims, data.columns
        (11, ['fixed acidity', ...])

    Args:
        path: the file. A `.csv` may have a first line of names.
        key: which array of a `.npz`; not needed if there is only one.
        val, test: fractions of the rows for these sets, drawn at random.
        standardise: otherwise the table is used as it is.
        seed: of the draw of the splits.
        delimiter: of a `.csv`.
        batch_size, num_workers: as in `FlowDataModule`.
    """

    def __init__(
        self,
        path: str,
        key: str | None = None,
        val: float = 0.1,
        test: float = 0.1,
        standardise: bool = True,
        seed: int = 0,
        delimiter: str = ",",
        batch_size: int = 256,
        num_workers: int = 0,
    ):
        super().__init__(batch_size, num_workers)
        if not (0 < val < 1 and 0 < test < 1 and val + test < 1):
            raise ValueError(f"val and test must be fractions that leave rows for training, got {val} and {test}")
        self.path, self.key, self.delimiter = Path(path), key, delimiter
        self.val, self.test, self.standardise, self.seed = val, test, standardise, seed
        self._rows: dict[str, np.ndarray] | None = None
        self._restored: dict[str, Tensor] | None = None

    @property
    def columns(self) -> list[str]:
        self._load()
        return self._columns

    @property
    def dims(self) -> int:
        return len(self.columns)

    @property
    def mean(self) -> Tensor:
        """(D,) float64 of the training rows, zeros without standardisation."""
        self._load()
        return self._mean

    @property
    def std(self) -> Tensor:
        """(D,) float64 of the training rows, ones without standardisation."""
        self._load()
        return self._std

    @property
    def log_scale(self) -> float:
        """`-sum log std`: what a log-density of standardised rows lacks to one in the units of the table."""
        return -float(self.std.log().sum())

    def restore(self, z: Tensor) -> Tensor:
        """Standardised rows (N, D) in the units of the table."""
        return z * self.std.to(z) + self.mean.to(z)

    def make_dataset(self, split):
        self._load()
        return Rows((self._rows[split] - self._mean.numpy()) / self._std.numpy())

    def _load(self) -> None:
        if self._rows is not None:
            return
        self._columns, table = self._read()
        n_val, n_test = round(self.val * len(table)), round(self.test * len(table))
        if min(n_val, n_test, len(table) - n_val - n_test) < 1:
            raise ValueError(f"{self.path}: {len(table)} rows are too few for val {self.val} and test {self.test}")
        order = np.random.RandomState(self.seed).permutation(len(table))
        rows = {"test": table[order[:n_test]], "val": table[order[n_test : n_test + n_val]]}
        rows["train"] = table[np.sort(order[n_test + n_val :])]
        mean, std = np.zeros(table.shape[1]), np.ones(table.shape[1])
        if self.standardise:
            mean, std = rows["train"].mean(0), rows["train"].std(0)
            self._check_columns(rows["train"], std)
        self._mean, self._std = torch.from_numpy(mean), torch.from_numpy(std)
        self._check_restored()
        self._rows = rows

    def _read(self) -> tuple[list[str], np.ndarray]:
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path} not found")
        kind = self.path.suffix.lower()
        if kind == ".csv":
            return read_csv(self.path, self.delimiter)
        if kind not in (".npy", ".npz"):
            raise ValueError(f"{self.path}: expected a .npy, .npz or .csv file")
        table = load_array(self.path) if kind == ".npy" else self._read_npz()
        return [str(i) for i in range(table.shape[1])], table

    def _read_npz(self) -> np.ndarray:
        arrays = load_npz(self.path)
        if self.key is None and len(arrays) != 1:
            raise ValueError(f"{self.path} holds {len(arrays)} arrays: set key to one of {', '.join(arrays)}")
        key = next(iter(arrays)) if self.key is None else self.key
        if key not in arrays:
            raise ValueError(f"{self.path} has no array {key!r}, found {', '.join(arrays)}")
        return check_table(arrays[key], f"{self.path}[{key}]").astype(np.float64)

    def _check_columns(self, train: np.ndarray, std: np.ndarray) -> None:
        constant = np.flatnonzero((train == train[0]).all(0))
        if len(constant):
            name = self._columns[constant[0]]
            raise ValueError(f"{self.path}: column {name} is constant in training, remove it or set standardise: false")
        extreme = np.flatnonzero(~np.isfinite(std))
        if len(extreme):
            name = self._columns[extreme[0]]
            raise ValueError(f"{self.path}: column {name} has numbers too large to be standardised")

    # Checkpoints

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "std": self.std}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        self._restored = state_dict
        if self._rows is not None:
            self._check_restored()

    def _check_restored(self) -> None:
        if self._restored is None:
            return
        for name, mine in (("mean", self._mean), ("std", self._std)):
            theirs = self._restored[name]
            if theirs.shape != mine.shape or not torch.allclose(theirs, mine, rtol=1e-6):
                raise ValueError(f"{self.path} is not the table that the checkpoint was trained on: its {name} differs")

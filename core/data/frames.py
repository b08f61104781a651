"""Pickled pandas tables, read without pandas and without running anything that the pickle names.

A pickle says which classes to build from which pieces. Here whatever it asks of pandas becomes a plain record of these
pieces, and the numbers are then taken from the records. So a file of any pandas version can be read, the Python 2
pickles of 2016 among them, which today's pandas cannot.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flowsuite.core.training.files import reading, reason
from flowsuite.core.training.pickles import ArrayUnpickler, unpickle


class Record:
    """What a pickle wanted to call or build: `args` it would have passed and `state` it would have set."""

    def __new__(cls, *args: Any) -> Record:  # pickles call classes, or their __new__ alone
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state


class FrameUnpickler(ArrayUnpickler):
    """NumPy arrays as they are, everything of pandas as a `Record`; any other global is refused."""

    def find_class(self, module, name):
        if module.split(".")[0] == "pandas":
            return type(name, (Record,), {})
        if (module, name) in (("builtins", "slice"), ("__builtin__", "slice")):
            return slice
        return super().find_class(module, name)


def read_frame_pickle(path: str | Path) -> tuple[list[str], np.ndarray]:
    """The column names and the (N, D) float64 values of a pickled DataFrame of numbers.

    Raises a one-line error where the file is not one.
    """
    with reading(path, "pickle of a pandas DataFrame"):
        frame = unpickle(path, FrameUnpickler)
    try:
        names, n_rows, blocks = frame_parts(frame)
        return names, assemble(blocks, n_rows, len(names))
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"{path}: expected a pickled pandas DataFrame of numbers ({reason(error)})") from None


def frame_parts(frame: Any) -> tuple[list[str], int, list[tuple[np.ndarray, Any]]]:
    """Column names, number of rows, and `(values, columns they belong to)` of every block of a recorded DataFrame."""
    if type(frame).__name__ != "DataFrame" or not isinstance(frame, Record):
        raise ValueError(f"it holds a {type(frame).__name__}")
    state = frame.state if isinstance(frame.state, dict) else {"_data": frame.state}
    manager = state["_mgr"] if "_mgr" in state else state["_data"]
    if manager.state is None:  # pandas >= 1.3: BlockManager(blocks, axes)
        blocks, axes = manager.args
        pieces = [block.args[:2] for block in blocks]
    else:  # before: (axes, values, items, {"0.14.1": everything again, in order})
        content = manager.state[3]["0.14.1"]
        axes, pieces = content["axes"], [(block["values"], block["mgr_locs"]) for block in content["blocks"]]
    return [str(name) for name in labels(axes[0])], len(labels(axes[1])), pieces


def labels(index: Any) -> Any:
    """The labels of a recorded Index, `_new_Index(class, {"data": ...})` or a range."""
    content = index.args[1]
    if "start" in content:
        return range(content["start"], content["stop"], content["step"])
    data = content["data"]
    if isinstance(data, Record):  # an array class of pandas' own, whose state is (dtype, ndarray)
        data = next(part for part in data.state if isinstance(part, np.ndarray))
    return data


def assemble(blocks: list[tuple[np.ndarray, Any]], n_rows: int, n_columns: int) -> np.ndarray:
    """The blocks, each (columns, N), as one table (N, D)."""
    table = np.full((n_rows, n_columns), np.nan)
    filled = np.zeros(n_columns, bool)
    for values, columns in blocks:
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
            kind = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
            raise ValueError(f"a column is of type {kind}, not a number")
        table[:, columns] = values.T
        filled[columns] = True
    if not filled.all():
        raise ValueError(f"column {int(np.argmin(filled))} has no values")
    return table

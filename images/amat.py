"""Text files of zeros and ones, the format of the binarised MNIST."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def read_amat(path: str | Path, columns: int) -> np.ndarray:
    """Lines of `columns` zeros and ones with blanks between them: (lines, columns) uint8."""
    try:
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    digit, newline = (data == ord("0")) | (data == ord("1")), data == ord("\n")
    wrong = ~(digit | newline | (data == ord(" ")) | (data == ord("\r")) | (data == ord("\t")))
    wrong[1:] |= digit[1:] & digit[:-1]  # a number of two digits
    if wrong.any():
        first = int(wrong.argmax())
        line = 1 + int(newline[:first].sum())
        found = bytes(data[max(0, first - 1) : first + 1]).decode("latin1").strip()
        raise ValueError(f"{path}, line {line}: expected zeros and ones with blanks between them, got {found!r}")
    counts = np.diff(np.concatenate(([0], np.cumsum(digit)[newline], [digit.sum()])))
    full = np.flatnonzero(counts)
    bad = full[counts[full] != columns]
    if len(bad):
        raise ValueError(f"{path}, line {1 + bad[0]}: expected {columns} numbers, got {counts[bad[0]]}")
    if not len(full):
        raise ValueError(f"{path}: is empty, expected lines of {columns} zeros and ones")
    return (data[digit] - ord("0")).reshape(-1, columns)

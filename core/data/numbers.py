"""Checks of tables of numbers: every error names the file, the row and the column."""

from __future__ import annotations

import csv
import math
import warnings
from pathlib import Path

import numpy as np

from flowsuite.core.training.files import printable, reading, reason


def check_table(table: np.ndarray, name: str | Path, columns: list[str] | None = None) -> np.ndarray:
    """`table` if it is (N, D) of finite numbers with N, D >= 1; rows and columns are counted from 0 in errors."""
    if table.ndim != 2 or not table.size:
        raise ValueError(f"{name}: expected a table (rows, columns), got shape {table.shape}")
    if table.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected numbers, got {table.dtype}")
    finite = np.isfinite(table)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        label = f"{column} ({columns[column]})" if columns else column
        count = int((~finite).sum())
        raise ValueError(f"{name}: {table[row, column]} in row {row}, column {label}; {count} such values in all")
    return table


def read_csv(path: str | Path, delimiter: str = ",", width: int | None = None) -> tuple[list[str], np.ndarray]:
    """A file of delimited numbers: column names, and finite values (N, D) float64.

    The first line holds the names if none of its fields is a number; otherwise columns are called "0", "1", ....

    Args:
        path: the file.
        delimiter: one character.
        width: columns to read, the first ones of every line; None for all, and then each line must have as many.
    """
    path = Path(path)
    with reading(path, "table of text"), open(path, newline="", encoding="utf-8-sig") as file:
        first = next(csv.reader(file, delimiter=delimiter), [])
    if not first:
        raise ValueError(f"{path}: expected lines of numbers, the first line is empty")
    header = not any(is_number(field) for field in first)
    names = [printable(field) for field in first] if header else [str(i) for i in range(len(first))]
    names = names[:width]
    columns = range(len(names)) if width else None
    try:
        table = load_text(path, delimiter, int(header), columns)
    except ValueError as error:
        raise ValueError(locate(path, delimiter, header, names, width) or f"{path}: {reason(error)}") from None
    if len(table) == 0:
        raise ValueError(f"{path}: there are no numbers after the first line")
    if table.shape[1] != len(names) or not np.isfinite(table).all():
        raise ValueError(locate(path, delimiter, header, names, width) or f"{path}: not a table of finite numbers")
    return names, table


def load_text(path: Path, delimiter: str, skip: int, columns: range | None) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "loadtxt: input contained no data")
        return np.loadtxt(
            path,
            delimiter=delimiter,
            skiprows=skip,
            comments=None,
            quotechar='"',
            ndmin=2,
            encoding="utf-8-sig",
            usecols=columns,
        )


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def locate(path: Path, delimiter: str, header: bool, names: list[str], width: int | None) -> str | None:
    """Where the first bad field of a file is: what the fast reader cannot say."""
    with reading(path, "table of text"), open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter)
        for number, fields in enumerate(reader):
            if (number == 0 and header) or not fields:
                continue
            where = f"{path}, line {reader.line_num}"
            if len(fields) < len(names) or (width is None and len(fields) != len(names)):
                return f"{where}: expected {len(names)} values, got {len(fields)}"
            for name, field in zip(names, fields, strict=False):
                if not is_number(field) or not math.isfinite(float(field)):
                    return f"{where}, column {name}: expected a finite number, got {field!r}"
    return None

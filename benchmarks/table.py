"""Tables of figures: numbers for the JSON, rounded for the reader."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

Cell = str | int | float | None  # None: not measured, shown as "-"
SPEC = re.compile(r",?(\.\d{1,2}[feg])?%?")
DIGITS = 6  # significant ones that the JSON keeps


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes:
        name: what was measured.
        unit: of its numbers; empty for names, counts and ratios.
        spec: Python's format specification for its numbers, such as `.1f`.
    """

    name: str
    unit: str = ""
    spec: str = ""

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and isinstance(self.unit, str)):
            raise ValueError(f"column {self.name!r}: expected a name and a unit, got {self.unit!r}")
        if not SPEC.fullmatch(self.spec):
            raise ValueError(f"column {self.name!r}: expected a format such as '.1f', got {self.spec!r}")

    @property
    def header(self) -> str:
        return f"{self.name}, {self.unit}" if self.unit else self.name

    def show(self, cell: Cell) -> str:
        if cell is None:
            return "-"
        return cell if isinstance(cell, str) else format(cell, self.spec)


@dataclass
class Table:
    """Rows of cells under a title; what cannot be a number in its column (`not reached`) is text.

    Raises:
        ValueError: a row of another length than the columns, or a cell that is neither text nor a number.
    """

    title: str
    columns: list[Column]
    rows: list[list[Cell]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.title, str):
            raise ValueError(f"expected a title, got {self.title!r}")
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.title!r}, row {index}: expected {len(self.columns)} cells, got {len(row)}"
                )
            for cell in row:
                if not (cell is None or (isinstance(cell, (str, int, float)) and not isinstance(cell, bool))):
                    raise ValueError(f"table {self.title!r}, row {index}: expected text or a number, got {cell!r}")

    def __str__(self) -> str:
        shown = [[column.show(cell) for column, cell in zip(self.columns, row, strict=True)] for row in self.rows]
        return f"## {self.title}\n\n" + markdown([column.header for column in self.columns], shown)

    def content(self) -> dict:
        """For JSON."""
        columns = [{"name": c.name, "unit": c.unit, "spec": c.spec} for c in self.columns]
        rows = [[kept(cell) for cell in row] for row in self.rows]
        return {"title": self.title, "columns": columns, "rows": rows}

    @classmethod
    def from_content(cls, content: dict) -> Table:
        return cls(content["title"], [Column(**column) for column in content["columns"]], content["rows"])


def kept(cell: Cell) -> Cell:
    """A cell for JSON, which has no NaN and no infinity."""
    if not isinstance(cell, float):
        return cell
    return float(f"{cell:.{DIGITS}g}") if math.isfinite(cell) else str(cell)


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])

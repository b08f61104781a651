"""Ours beside a peer: two cells of a suite's tables, the ratio between them, and the aim for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.result import Result
from benchmarks.table import Cell, Column, Table


@dataclass(frozen=True)
class Comparison:
    """Where to find the two figures, and what was aimed at.

    Attributes:
        what: is compared, in words.
        table: how the title of the table begins.
        column: how the header of our figure's column begins.
        ours: the cells that our row begins with.
        peer: the cells that the peer's row begins with.
        peer_column: how the header of the peer's column begins, where it is another.
        stated: how the header of the column begins in which our row states the ratio.
        peer_states: the same of the peer's row. Where neither is given, the ratio is computed.
        more: whether a greater figure is better.
        difference: compare by difference, where a ratio says nothing (divergences near zero).
        aim: the ratio to reach on a CPU (0: only to be better), None where none was set.
        limit: `(name, first cells of the row, column)` of what bounds our figure.
        headline: belongs to the few of the README, which shows the best contender of ours.
    """

    what: str
    table: str
    column: str
    ours: tuple[Cell, ...]
    peer: tuple[Cell, ...]
    peer_column: str = ""
    stated: str = ""
    peer_states: str = ""
    more: bool = False
    difference: bool = False
    aim: float | None = None
    limit: tuple[str, tuple[Cell, ...], str] | None = None
    headline: bool = False


@dataclass(frozen=True)
class Finding:
    """A comparison with its figures.

    Attributes:
        comparison, result: what was compared, and in which run.
        title: of the table.
        ours, peer: the figures, None where a race did not reach its end.
        shown: both with their units, for the reader.
        gain: how many times ours is better (with `difference`, by how much), None where a figure is missing.
        gain_shown: it, rounded.
        limit: the limit in words, empty where none is known.
    """

    comparison: Comparison
    result: Result
    title: str
    ours: float | None
    peer: float | None
    shown: tuple[str, str]
    gain: float | None
    gain_shown: str
    limit: str

    @property
    def aim(self) -> float | None:
        """The aims were set for CPUs."""
        return self.comparison.aim if self.result.device == "cpu" else None

    @property
    def verdict(self) -> str:
        if self.aim is None:
            return ""
        met = self.gain is not None and (self.gain > 0 if self.comparison.difference else self.gain >= self.aim)
        return "met" if met else "missed"


def find(comparison: Comparison, result: Result) -> Finding | None:
    """The comparison in this run, None if the run has not measured both."""
    for table in result.tables:
        if not table.title.startswith(comparison.table):
            continue
        ours = look_up(table, comparison.ours, comparison.column)
        peer = look_up(table, comparison.peer, comparison.peer_column or comparison.column)
        if ours is None or peer is None:
            continue
        figures = number(ours[1]), number(peer[1])
        gain, gain_shown = stated_gain(comparison, table) or gained(comparison, *figures, ours[0])
        shown = with_unit(*ours), with_unit(*peer)
        return Finding(comparison, result, table.title, *figures, shown, gain, gain_shown, limit_of(comparison, table))
    return None


def look_up(table: Table, begins: tuple[Cell, ...], header: str) -> tuple[Column, Cell] | None:
    """The first column whose header begins so, and its cell in the first row that begins so."""
    for index, column in enumerate(table.columns):
        if column.header.startswith(header):
            row = next((row for row in table.rows if tuple(row[: len(begins)]) == begins), None)
            return None if row is None or row[index] is None else (column, row[index])
    return None


def number(cell: Cell) -> float | None:
    return cell if isinstance(cell, (int, float)) and math.isfinite(cell) else None


def with_unit(column: Column, cell: Cell) -> str:
    return f"{column.show(cell)} {column.unit}".rstrip() if number(cell) is not None else column.show(cell)


def stated_gain(comparison: Comparison, table: Table) -> tuple[float, str] | None:
    """The ratio that the table itself states, and it as shown there: it comes from figures that were not rounded."""
    for row, header in ((comparison.ours, comparison.stated), (comparison.peer, comparison.peer_states)):
        found = look_up(table, row, header) if header else None
        if found is not None and number(found[1]) is not None:
            return number(found[1]), found[0].show(found[1])
    return None


def gained(comparison: Comparison, ours: float | None, peer: float | None, column: Column) -> tuple[float | None, str]:
    """How much better ours is, and that rounded."""
    if ours is None or peer is None:
        return None, "-"
    better, worse = (peer, ours) if comparison.more else (ours, peer)
    if comparison.difference:
        gain = worse - better
        return gain, f"{column.show(abs(gain))} {column.unit} {'less' if gain >= 0 else 'more'}"
    if better <= 0 or worse <= 0:
        return None, "-"
    ratio = worse / better
    return ratio, f"{ratio:.{2 if ratio < 2 else 1 if ratio < 100 else 0}f}"


def limit_of(comparison: Comparison, table: Table) -> str:
    if comparison.limit is None:
        return ""
    name, begins, column = comparison.limit
    found = look_up(table, begins, column)
    return "" if found is None else f"{name}: {with_unit(*found)}"


def findings(comparisons: list[Comparison], results: list[Result]) -> Iterator[Finding]:
    """Every comparison on every device, from the latest run that has measured it."""
    devices = sorted({result.device for result in results})
    for device in devices:
        runs = sorted((r for r in results if r.device == device), key=lambda r: r.date, reverse=True)
        for comparison in comparisons:
            found = next(filter(None, (find(comparison, run) for run in runs)), None)
            if found is not None:
                yield found

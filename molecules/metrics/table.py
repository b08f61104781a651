"""What an evaluation found: figures by section, tables of counts, notes; printed, or saved as JSON."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field

from flowsuite.core.training.files import atomic_write

TITLES = {  # section -> what its part of the table is called
    "basic": "Molecules",
    "properties": "Mean properties",
    "histograms": "Total variation",
    "moses": "MOSES",
    "moses scaffold test": "MOSES, scaffold test set",
    "guacamol": "GuacaMol KL suite",
    "structural": "Graph statistics",
}
PERCENT = ("valid", "unique", "novel", "under", "Filters")  # words in the names of shares


@dataclass
class Report:
    """The outcome of `evaluate`.

    Attributes:
        figures: by section and name, NaN where undefined.
        reference: the same figures of the reference molecules themselves, where they make sense.
        histograms: counts by set ("generated", "reference"), table ("size", "atom type", "bond type") and entry.
        counts: how many SMILES of each set were given, how many are molecules, how many were used.
        notes: what was skipped, sampled or undefined, one line each.
        settings: the options of the run.
    """

    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    reference: dict[str, dict[str, float]] = field(default_factory=dict)
    histograms: dict[str, dict[str, dict]] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    settings: dict = field(default_factory=dict)

    def figure(self, section: str, name: str) -> float:
        """One figure; an unknown name says which there are."""
        try:
            return self.figures[section][name]
        except KeyError:
            known = ", ".join(f"{s}/{n}" for s, names in self.figures.items() for n in names)
            raise ValueError(f"no figure {section}/{name}; there are {known}") from None

    def as_dict(self) -> dict:
        """Plain data; NaN becomes None, keys become strings."""
        names = ("settings", "counts", "figures", "reference", "histograms", "notes")
        return {name: plain(getattr(self, name)) for name in names}

    def save(self, path: str | os.PathLike) -> None:
        """Writes JSON, whole or not at all."""
        with atomic_write(path) as file:
            file.write((json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n").encode())

    def print(self, console=None) -> None:
        """The tables and the notes, on a rich console."""
        from rich.console import Console

        console = console or Console()
        console.print(self.table())
        for note in self.notes:
            console.print(f"- {note}", markup=False, highlight=False)

    def table(self):
        """All figures as one rich table, beside those of the reference."""
        from rich.table import Table

        table = Table("", show_edge=False, pad_edge=False)
        sets = [self.figures, self.reference] if self.reference else [self.figures]
        for title in ("generated", "reference")[: len(sets)]:
            table.add_column(title, justify="right")
        for section, figures in self.figures.items():
            table.add_section()
            table.add_row(f"[bold]{TITLES.get(section, section)}")
            for name in figures:
                table.add_row(f"  {name}", *(shown(name, one.get(section, {}).get(name)) for one in sets))
        return table


def shown(name: str, value: float | None) -> str:
    """A figure as the table has it: "-" where undefined, nothing where there is none."""
    if value is None:
        return ""
    if math.isnan(value):
        return "-"
    if any(word in name for word in PERCENT):
        return f"{100 * value:.2f} %"
    return f"{value:.5g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.2e}"


def plain(value):
    """JSON's types only."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value

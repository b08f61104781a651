"""What an optimisation found: a table of the best molecules, a picture, the history, a summary."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flowsuite.core.training.files import atomic_write
from flowsuite.molecules.csv_files import write_csv
from flowsuite.molecules.draw import write_grid
from flowsuite.molecules.filters import FILTERS
from flowsuite.molecules.fingerprints import packed_morgan
from flowsuite.molecules.metrics.records import MOSES_BITS
from flowsuite.molecules.metrics.table import plain
from flowsuite.molecules.processes import Pool
from flowsuite.molecules.properties import mean_or_nan, properties_of
from flowsuite.molecules.similarity import internal_diversity
from flowsuite.molecules.smiles import parse

PROPERTIES = ("logp", "plogp", "qed", "sa", "mw", "heavy_atoms")
DRAWN = 20


def describe(smiles: str) -> dict[str, float]:
    """Properties of a molecule, and 1 or 0 for each structural filter that it passes or not."""
    mol = parse(smiles)
    passes = {f"passes_{name}": int(bool(check(mol))) for name, check in FILTERS.items()}
    return {**properties_of(mol, PROPERTIES), **passes}


def describe_all(smiles: Sequence[str], pool: Pool) -> list[dict[str, float]]:
    return pool.map(describe, smiles)


def diversity(smiles: Sequence[str]) -> float:
    """IntDiv of MOSES; NaN of none."""
    bits = [packed_morgan(parse(text), MOSES_BITS) for text in smiles]
    return internal_diversity(np.stack(bits))[0] if bits else math.nan


def write_json(path: str | os.PathLike, values: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write((json.dumps(plain(dict(values)), indent=2, allow_nan=False) + "\n").encode())


@dataclass
class Outcome:
    """Everything that a run of fine-tuning has to tell.

    Attributes:
        target: its name.
        max_atoms: the size cap, without which scores of size-dependent targets mean nothing.
        top: `(SMILES, score)`, best first.
        final: scores of molecules of the fine-tuned policy, drawn afresh; NaN where there is none.
        final_smiles: these molecules, None where invalid.
        before: as `final`, of the policy before fine-tuning.
        history: figures of every step.
        notes: one line each.
    """

    target: str
    max_atoms: int
    top: list[tuple[str, float]]
    final: np.ndarray
    final_smiles: list[str | None]
    before: np.ndarray
    history: list[dict[str, float]]
    notes: list[str] = field(default_factory=list)

    def summary(self, described: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        """The figures; `described` are those of the top molecules."""
        valid = [text for text in self.final_smiles if text is not None]
        passes = {
            f"top {name.removeprefix('passes_')} filter": float(np.mean([row[name] for row in described]))
            for name in (described[0] if described else ())
            if name.startswith("passes_")
        }
        top = [text for text, _ in self.top]
        return {
            "target": self.target,
            "largest size (atoms)": self.max_atoms,
            "steps": len(self.history),
            "top 3": [score for _, score in self.top[:3]],
            f"top {len(top)} mean": mean_or_nan([score for _, score in self.top]),
            f"top {len(top)} IntDiv": diversity(top),
            f"top {len(top)} mean QED": mean_or_nan([row["qed"] for row in described]),
            **passes,
            "policy mean before": mean_or_nan(self.before[np.isfinite(self.before)]),
            "policy mean after": mean_or_nan(self.final[np.isfinite(self.final)]),
            "policy valid": len(valid) / len(self.final_smiles) if self.final_smiles else math.nan,
            "policy unique": len(set(valid)) / len(valid) if valid else math.nan,
            "policy IntDiv": diversity(valid),
            "notes": self.notes,
        }

    def write(self, out: Path, pool: Pool) -> dict[str, Any]:
        """Writes top.csv, top.png, top.svg, history.csv and summary.json into the folder `out`; the summary."""
        described = describe_all([text for text, _ in self.top], pool)
        rows = [
            {"rank": rank, "smiles": text, "score": score, **more}
            for rank, ((text, score), more) in enumerate(zip(self.top, described, strict=True), 1)
        ]
        write_csv(out / "top.csv", rows)
        write_csv(out / "history.csv", self.history)
        if self.top:
            drawn = self.top[:DRAWN]
            legends = [f"{self.target} {score:.3f}" for _, score in drawn]
            for name in ("top.png", "top.svg"):
                write_grid(out / name, [text for text, _ in drawn], legends)
        summary = self.summary(described)
        write_json(out / "summary.json", summary)
        return summary


def print_summary(summary: Mapping[str, Any], console=None) -> None:
    """The figures as a table, the notes below."""
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    table = Table(show_header=False, show_edge=False, pad_edge=False)
    for name, value in summary.items():
        if name != "notes":
            table.add_row(name, shown(name, value))
    console.print(table)
    for note in summary.get("notes", ()):
        console.print(f"- {note}", markup=False, highlight=False)


def shown(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{each:.3f}" for each in value) or "-"
    if isinstance(value, float):
        share = any(word in name for word in ("filter", "valid", "unique"))
        return "-" if math.isnan(value) else f"{100 * value:.1f} %" if share else f"{value:.4g}"
    return str(value)

"""The variational part of `flowsuite demo`: flows fitted to U1..U4, beside the densities."""

from __future__ import annotations

import csv
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from flowsuite.core.training.demo import Section
from flowsuite.core.training.files import read_json
from flowsuite.core.variational import experiment

LAYERS = 8
SECONDS = 60
SEED = "--seed"
COLUMNS = {"target": "{}", "kind": "{}", "reverse_kl": "{:.4f}", "ess": "{:.3f}", "pareto_k": "{:.2f}"}


def run(folder: Path, options: Sequence[str] = ()) -> Section:
    """Fits planar layers and splines to the four published energies; everything lands in `folder`.

    `options` are further options of `flowsuite variational`.
    """
    argv = [
        "--kinds",
        "planar",
        "spline",
        "--layers",
        str(LAYERS),
        "--steps",
        "400",
        "--anneal_steps",
        "100",
        "--lr",
        "0.015",
    ]
    argv += ["--workers", str(min(2, os.cpu_count() or 1)), "--out", str(folder), *options]
    experiment.main(argv)
    with open(folder / "table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    caption = "from left to right: the density, planar layers, splines; from top to bottom U1, U2, U3, U4"
    return Section(
        title="Variational inference: flows fitted to unnormalised densities",
        text=(
            f"{LAYERS} planar layers (arXiv 1505.05770) and {LAYERS} autoregressive spline layers, fitted to the four "
            f"energies of that paper by a few hundred steps of reverse KL each. Both are drawn by their exact "
            "inverse; the divergence KL(q||p) is by quadrature, in nats, 0 for a perfect fit; ESS is a share of 1."
        ),
        table=format_table(rows),
        figures=[(folder / f"densities-{LAYERS}.png", caption)],
        commands=[shlex.join(["flowsuite", "variational", *argv])],
        headline={
            f"KL(q||p) on {row['target']}, splines, nats": f"{float(row['reverse_kl']):.3f}"
            for row in rows
            if row["kind"] == "spline"
        },
        curves={f"{target}, splines": losses(folder, target, "spline") for target in ("U1", "U2", "U3", "U4")},
    )


def losses(folder: Path, target: str, kind: str) -> list[tuple[int, float]]:
    """(step, -ELBO as annealed) of one fit, nats; none from a file of an older version."""
    row = read_json(folder / "fits" / f"{target}-{kind}-{LAYERS}.json")
    return [(step, -elbo) for step, elbo, _ in row.get("history", [])]


def format_table(rows: list[dict[str, str]]) -> str:
    """Rows of the experiment's table in lines of equal width."""
    lines = [list(COLUMNS)]
    for row in rows:
        lines.append([form.format(row[name] if form == "{}" else float(row[name])) for name, form in COLUMNS.items()])
    return "\n".join("".join(f"{cell:>12}" for cell in line) for line in lines)

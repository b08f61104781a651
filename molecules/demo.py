"""The molecule part of `flowsuite demo`: a small GraphAF on small real molecules."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Sequence
from pathlib import Path

from flowsuite.core.training.demo import Section, train_recipe
from flowsuite.core.training.files import atomic_write, read_json
from flowsuite.core.training.sampling_options import main as sample
from flowsuite.molecules import commands
from flowsuite.molecules.bars import write_bars
from flowsuite.molecules.data import NCI
from flowsuite.molecules.draw import write_grid

RECIPE = "molecules/demo"
NEEDS = ("rdkit", "torch_geometric")
SECONDS = 150
SHOWN = 24
SAMPLES = 1000


def run(folder: Path, options: Sequence[str] = ()) -> Section:
    """Trains `molecules/demo`, then samples and evaluates; all lands in `folder`.

    `options` are further options of `flowsuite fit`.
    """
    checkpoint, command = train_recipe(RECIPE, folder, options, "last")
    data = NCI(val=0.1, test=0.1)
    files = {name: folder / f"{name}.smi" for name in ("train", "test")}
    for name, path in files.items():
        with atomic_write(path) as file:
            file.write("".join(f"{text}\n" for text in data.smiles(name)).encode())
    samples, report = folder / "samples", folder / "evaluation.json"
    drawn = ["--ckpt_path", str(checkpoint), "--num", str(SAMPLES), "--batch_size", "500", "--out", str(samples)]
    sample(drawn)
    compared = [str(samples / "molecules.csv"), "--train", str(files["train"]), "--test", str(files["test"])]
    commands.main(["evaluate", *compared, "--out", str(report)])
    found_figures = read_json(report)
    with open(samples / "molecules.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return Section(
        title="Molecules: GraphAF on small molecules of the NCI",
        text=describe(rows, found_figures),
        figures=[
            (samples / "molecules.png", "generated molecules, with their drug-likeness QED"),
            (write_grid(folder / "real.png", data.smiles("test")[:SHOWN]), "real molecules of the test set"),
            (write_bars(folder / "histograms.png", found_figures["histograms"]), "the data and what was generated"),
        ],
        commands=[
            command,
            "# train.smi and test.smi hold the training and test molecules of flowsuite.molecules.data.NCI",
            shlex.join(["flowsuite", "sample", *drawn]),
            shlex.join(["flowsuite", "molecules", "evaluate", *compared, "--out", str(report)]),
        ],
        headline={
            "valid without a refused bond": f"{unrefused(rows):.1%}",
            "of the valid ones new": f"{found_figures['figures']['basic']['novel']:.1%}",
        },
        checkpoint=checkpoint,
    )


def unrefused(rows: Sequence[dict[str, str]]) -> float:
    """The share of the samples for which the check of valences refused no bond."""
    return sum(row["refused_draws"] == "0" for row in rows) / len(rows)


def describe(rows: Sequence[dict[str, str]], report: dict) -> str:
    """The figures of a CSV of samples and of `flowsuite molecules evaluate` in a few sentences."""
    valid = [row["smiles"] for row in rows if row["smiles"]]
    figures, tv = report["figures"], report["figures"]["histograms"]
    distances = ", ".join(f"{name} {value:.2f}" for name, value in tv.items() if value is not None)
    return (
        f"{len(rows)} samples: {len(valid) / len(rows):.1%} valid, "
        f"{unrefused(rows):.1%} without a single refused bond, "
        f"{len(set(valid)) / max(len(valid), 1):.1%} of the valid ones different, {figures['basic']['novel']:.1%} new. "
        f"Total variation from the test set: {distances}."
    )

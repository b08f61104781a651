"""The point-cloud part of `flowsuite demo`: a small PointFlow on procedural shapes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowsuite.core.training.demo import Section, train_recipe
from flowsuite.core.training.demo_page import MOST_POINTS
from flowsuite.core.training.files import atomic_write, read_json
from flowsuite.core.training.numpy_files import load_npy
from flowsuite.core.training.sampling_options import main as sample
from flowsuite.pointclouds import commands
from flowsuite.pointclouds.render import write_sheet
from flowsuite.pointclouds.tools import data_module

RECIPE = "pointclouds/demo"
SHOWN = 24
TURNED = 4  # of the shapes that are shown
SECONDS = 190


def run(folder: Path, options: Sequence[str] = ()) -> Section:
    """Trains `pointclouds/demo`, then samples, reconstructs, interpolates and evaluates; all lands in `folder`.

    `options` are further options of `flowsuite fit`.
    """
    path, command = train_recipe(RECIPE, folder, options)
    checkpoint, done = str(path), [command]

    def pointclouds(command: str, *arguments: str) -> None:
        argv = [command, "--ckpt_path", checkpoint, "--data", RECIPE, *arguments]
        commands.main(argv)
        done.append(shlex.join(["flowsuite", "pointclouds", *argv]))

    drawn = ["--ckpt_path", checkpoint, "--num", str(SHOWN), "--out", str(folder / "samples")]
    sample(drawn)
    done.append(shlex.join(["flowsuite", "sample", *drawn]))
    report, pictures = folder / "evaluation.json", {}
    for name in ("reconstruct", "interpolate", "heatmap"):
        pictures[name] = folder / f"{name}.png"
    pointclouds("reconstruct", "--num", "8", "--points", "2048", "--out", str(pictures["reconstruct"]))
    pointclouds("interpolate", "--first", "1", "--second", "2", "--out", str(pictures["interpolate"]))
    pointclouds("heatmap", "--num", "8", "--out", str(pictures["heatmap"]))
    pointclouds("evaluate", "--sets", "3", "--json", str(report), "--quiet")
    clouds = data_module(RECIPE).clouds("test").points[:SHOWN, :MOST_POINTS]
    write_sheet(folder / "real.png", clouds)
    figures = read_json(report)
    return Section(
        title="Point clouds: PointFlow on procedural shapes",
        text=describe(figures),
        headline=headline(figures),
        checkpoint=path,
        figures=[
            (join_clouds(folder / "samples", folder / "new.npy"), "new shapes: turn them"),
            (write_clouds(folder / "real.npy", clouds[:TURNED].numpy()), "real shapes of the test set: turn them"),
            (folder / "samples" / "samples_000000.png", "new shapes, 2048 points each, none of which was ever made"),
            (folder / "real.png", "real shapes of the test set, for comparison"),
            (pictures["reconstruct"], "shapes of the test set; below, new points of the same shapes, from their codes"),
            (pictures["interpolate"], "from one real shape to another through the space of codes"),
            (pictures["heatmap"], "log-density of every point given its shape's code: dark is unlikely"),
        ],
        commands=done,
    )


def join_clouds(samples: Path, path: Path) -> Path:
    """The first clouds of `flowsuite sample` in one `.npy`, (B, N, 3)."""
    files = sorted(samples.glob("cloud_*.npy"))[:TURNED]
    return write_clouds(path, np.stack([load_npy(file)[:MOST_POINTS] for file in files]))


def write_clouds(path: Path, clouds: np.ndarray) -> Path:
    with atomic_write(path) as file:
        np.save(file, clouds)
    return path


def headline(report: dict) -> dict[str, str]:
    """The figures of `flowsuite pointclouds evaluate` that say most."""
    made = report["generation"]
    return {
        "Chamfer distance, reconstruction": f"{1e3 * report['reconstruction']['CD']:.2f}e-3",
        "1-NN accuracy (50% is ideal)": f"{made['1-NNA-CD']['mean']:.0%}",
        "coverage": f"{made['COV-CD']['mean']:.0%}",
    }


def describe(report: dict) -> str:
    """The figures of `flowsuite pointclouds evaluate` in a sentence or two."""
    rebuilt, made = report["reconstruction"], {name: v["mean"] for name, v in report["generation"].items()}
    return (
        f"Test set: {report['shapes']} shapes, {report['points']} points. "
        f"Reconstruction: Chamfer distance {1e3 * rebuilt['CD']:.2f}e-3, where other points of the same shapes have "
        f"{1e3 * rebuilt['oracle CD']:.2f}e-3. Generation, mean of {report['sets']} sets: "
        f"MMD-CD {1e3 * made['MMD-CD']:.2f}e-3, coverage {made['COV-CD']:.0%}, "
        f"1-nearest-neighbour accuracy {made['1-NNA-CD']:.0%} (50% is ideal), JSD {1e2 * made['JSD']:.1f}e-2."
    )

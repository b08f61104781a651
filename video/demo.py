"""The video part of `flowsuite demo`: a small VideoFlow on moving shapes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from flowsuite.core.training.demo import Section, train_recipe
from flowsuite.core.training.files import read_json
from flowsuite.video import commands

RECIPE = "video/demo"
SECONDS = 160
CONTEXTS, SAMPLES = 8, 100


def run(folder: Path, options: Sequence[str] = ()) -> Section:
    """Trains `video/demo`, then continues test videos in 100 ways each; everything lands in `folder`.

    `options` are further options of `flowsuite fit`.
    """
    checkpoint, command = train_recipe(RECIPE, folder, options)
    done = [command]

    def video(command: str, out: Path, *arguments: str) -> Path:
        argv = [command, "--ckpt_path", str(checkpoint), "--data", RECIPE, "--out", str(out), *arguments]
        commands.main(argv)
        done.append(shlex.join(["flowsuite", "video", *argv]))
        return out

    few = ("--num", str(CONTEXTS), "--samples", str(SAMPLES), "--overwrite")
    found = video("evaluate", folder / "evaluation", *few)
    swept = video("sweep", folder / "sweep", "--num", "4", "--samples", "10", "--temperatures", "0,0.25,0.5,0.75,1")
    way = video("interpolate", folder / "between")
    report = read_json(found / "report.json")
    return Section(
        title="Video: VideoFlow on moving shapes",
        text=describe(report),
        table=shape_table(report),
        figures=[
            (found / "samples.gif", "a test video, and five ways in which the model continues its first frame (green)"),
            (found / "directions.png", f"given frames; below each, {report['samples']} continuations in one picture"),
            (swept / "sweep.gif", "one continuation from the same noise at several temperatures"),
            (way.with_suffix(".gif"), "from the first frame to the last: all latents, the top alone, all but the top"),
        ],
        commands=done,
        headline={
            "bits/dim, test": f"{report['bits_per_dim']['one_draw']:.3f}",
            "of 8 directions found": f"{8 * report['shapes']['coverage']:.1f}",
        },
        checkpoint=checkpoint,
    )


def describe(report: dict) -> str:
    """The report of `flowsuite video evaluate` in a sentence or two."""
    bits, shapes = report["bits_per_dim"], report["shapes"]
    return (
        f"Test set, {report['videos']} videos, {report['given']} frame given, {report['frames']} predicted: "
        f"{bits['one_draw']:.3f} bits/dim. Of the 8 directions, {report['samples']} continuations of a frame hit "
        f"{8 * shapes['coverage']:.1f} (the worst context {8 * shapes['least_coverage']:.0f}); "
        f"{shapes['all_kept']:.0%} move, and keep shape, colour and size."
    )


def shape_table(report: dict) -> str:
    """What became of the shapes, in lines of equal width."""
    shapes = report["shapes"]
    names = ("east", "north-east", "north", "north-west", "west", "south-west", "south", "south-east")
    total = sum(shapes["counts"]) or 1
    lines = [
        f"{name:<14}{count / total:7.1%} of the directions" for name, count in zip(names, shapes["counts"], strict=True)
    ]
    kept = [f"{name + ' kept':<14}{shapes[f'{name}_kept']:7.1%}" for name in ("shape", "colour", "size")]
    return "\n".join([*lines, *kept])

"""The images part of `flowsuite demo`: a small Glow on scikit-learn's digits."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from flowsuite.core.training.demo import Section, train_recipe
from flowsuite.core.training.files import read_json
from flowsuite.core.training.pictures import enlarge, grid, write_png
from flowsuite.images import commands
from flowsuite.images.inputs import open_images, take

RECIPE = "images/demo"
NEEDS = ("sklearn",)
SECONDS = 75


def run(folder: Path, options: Sequence[str] = ()) -> Section:
    """Trains `images/demo`, then samples, interpolates and evaluates; everything lands in `folder`.

    `options` are further options of `flowsuite fit`.
    """
    checkpoint, command = train_recipe(RECIPE, folder, options)
    done = [command]

    def images(command: str, *arguments: str) -> None:
        argv = [command, "--ckpt_path", str(checkpoint), *arguments]
        commands.main(argv)
        done.append(shlex.join(["flowsuite", "images", *argv]))

    report = folder / "evaluation.json"
    images("evaluate", "--data", RECIPE, "--json", str(report))
    images("sample-grid", "--num", "64", "--temperature", "0.8", "--out", str(folder / "samples.png"))
    images("sweep", "--num", "10", "--out", str(folder / "temperatures.png"))
    images("interpolate", "--data", RECIPE, "--first", "0", "--second", "5", "--out", str(folder / "between.png"))
    images("reconstruct", "--data", RECIPE, "--num", "10", "--out", str(folder / "reconstruction.png"))
    write_real(checkpoint, folder / "real.png")
    figures = read_json(report)
    return Section(
        title="Images: Glow on handwritten digits",
        text=(
            f"Test set: {figures['one_draw']:.3f} bits/dim at {figures['n_bits']} bits "
            f"({figures['images']} images, one dequantisation draw)."
        ),
        figures=[
            (folder / "samples.png", "64 samples at temperature 0.8: none of these was ever written"),
            (folder / "real.png", "64 real digits of the test set, for comparison"),
            (
                folder / "temperatures.png",
                "the same latents at temperature 0, .25, .5, .6, .7, .8, .9, 1",
            ),
            (folder / "between.png", "from one real digit to another through latent space: linear, spherical"),
            (folder / "reconstruction.png", "real digits, decode(encode(.)), difference"),
        ],
        commands=done,
        headline={f"bits/dim, test, {figures['n_bits']} bits": f"{figures['one_draw']:.3f}"},
        checkpoint=checkpoint,
    )


def write_real(checkpoint: Path, path: Path) -> None:
    from flowsuite.core.training.checkpoint import load_module

    flow = load_module(checkpoint).flow
    images, _ = take(open_images([RECIPE], flow, "test", False, "{}"), list(range(64)))
    shown = flow.dequantize.generate(flow.dequantize.center(images))
    write_png(path, enlarge(grid(shown), 384))

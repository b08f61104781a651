"""The part of `flowsuite demo` on autoencoders: binary digits, with a Sylvester posterior."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from flowsuite.core.training.demo import Section, train_recipe
from flowsuite.core.training.files import read_json
from flowsuite.core.training.pictures import enlarge, grid, write_png
from flowsuite.images.vae import commands

RECIPE = "images/vae-demo"
NEEDS = ("sklearn",)
SECONDS = 45


def run(folder: Path, options: Sequence[str] = ()) -> Section:
    """Trains `images/vae-demo`, then samples, reconstructs, traverses and evaluates; all lands beside `folder`.

    `options` are further options of `flowsuite fit`.
    """
    checkpoint, command = train_recipe(RECIPE, folder, options)
    done = [command]

    def vae(command: str, *arguments: str) -> None:
        argv = [command, "--ckpt_path", str(checkpoint), "--data", RECIPE, *arguments]
        commands.main(argv)
        done.append(shlex.join(["flowsuite", "images", "vae", *argv]))

    report = folder / "evaluation.json"
    vae("evaluate", "--samples", "1000", "--json", str(report))
    vae("reconstruct", "--num", "12", "--out", str(folder / "reconstruction.png"))
    vae("traverse", "--out", str(folder / "traversal.png"))
    write_samples(checkpoint, folder / "samples.png")
    figures = read_json(report)
    return Section(
        title="Images: an autoencoder of binary digits with a flow posterior",
        text=(
            f"Test set, nats per image: -ELBO {-figures['elbo']:.3f} (reconstruction {figures['reconstruction']:.3f}, "
            f"KL {figures['kl']:.3f}); -log p(x) by {figures['samples']} importance samples {figures['nll']:.3f} "
            f"({figures['images']} images)."
        ),
        figures=[
            (folder / "samples.png", "64 new digits: the probability of every pixel"),
            (folder / "reconstruction.png", "test digits; by the code without noise; by two draws from the posterior"),
            (folder / "traversal.png", "one digit with one latent after another moved from -3 to 3"),
        ],
        commands=done,
        headline={
            "-ELBO, nats an image": f"{-figures['elbo']:.2f}",
            "-log p(x), nats an image": f"{figures['nll']:.2f}",
        },
        checkpoint=checkpoint,
    )


def write_samples(checkpoint: Path, path: Path) -> None:
    import torch

    from flowsuite.core.training.checkpoint import load_module

    module = load_module(checkpoint)
    samples = module.generate(64, generator=torch.Generator(module.device).manual_seed(0))
    write_png(path, enlarge(grid(samples), 384))

"""`flowsuite images COMMAND`: evaluation, pictures and diagnosis of a trained image flow. Only the standard library is
imported here."""

from __future__ import annotations

from flowsuite.core.training.commands import run_command

# command -> (what it does, module with `main(argv) -> int | None`)
COMMANDS = {
    "evaluate": ("bits/dim, by level, round-trip error, FID", "flowsuite.images.evaluate"),
    "reconstruct": ("input, decode(encode(input)) and their difference", "flowsuite.images.reconstruct"),
    "interpolate": ("from one image to another in latent space", "flowsuite.images.interpolate"),
    "attribute": ("move images along mean(eps|label) - mean(eps|other labels)", "flowsuite.images.attribute"),
    "sweep": ("the same latents at several temperatures", "flowsuite.images.sweep"),
    "sample-grid": ("a grid of samples", "flowsuite.images.sample_grid"),
    "diagnose": ("bits and latents by level, condition of 1x1 convolutions", "flowsuite.images.diagnose"),
    "vae": ("tools for variational autoencoders", "flowsuite.images.vae.commands"),
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; errors are exceptions with a message of one line."""
    return run_command("images", "evaluation, pictures and diagnosis of a trained image flow", COMMANDS, argv)

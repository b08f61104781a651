"""`flowsuite images vae COMMAND`: figures and pictures of variational autoencoders."""

from __future__ import annotations

from flowsuite.core.training.commands import run_command

# command -> (what it does, module with `main(argv) -> int | None`)
COMMANDS = {
    "evaluate": ("ELBO and importance-sampled likelihood", "flowsuite.images.vae.evaluate_command"),
    "reconstruct": ("images beside their reconstructions", "flowsuite.images.vae.reconstruct"),
    "traverse": ("what one latent after another changes", "flowsuite.images.vae.traverse"),
    "table": ("kinds of posterior at equal size: train, compare", "flowsuite.images.vae.table"),
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; errors are exceptions with a message of one line."""
    return run_command("images vae", "tools for variational autoencoders", COMMANDS, argv)

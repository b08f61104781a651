"""`flowsuite video COMMAND`: tools for videos. Only the standard library is imported here."""

from __future__ import annotations

from flowsuite.core.training.commands import run_command

# command -> (what it does, module with `main(argv) -> int | None`)
COMMANDS = {
    "evaluate": ("bits/dim, best of N samples, diversity, coverage of directions", "flowsuite.video.evaluate"),
    "sweep": ("figures and samples at several temperatures", "flowsuite.video.sweep"),
    "interpolate": ("from the first frame of a video to its last, in latent space", "flowsuite.video.interpolate"),
    "out-of-sequence": ("bits/dim of later frames, scored as if they were next", "flowsuite.video.out_of_sequence"),
    "rollout": ("continuations far beyond what was trained", "flowsuite.video.rollout"),
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; errors are exceptions with a message of one line."""
    return run_command("video", "tools for videos", COMMANDS, argv)

"""`flowsuite audio COMMAND`: tools for speech. Only the standard library is imported here."""

from __future__ import annotations

from flowsuite.core.training.commands import run_command

# command -> (what it does, module with `main(argv) -> int | None`)
COMMANDS = {
    "vocode": ("audio files or mel spectrograms to speech", "flowsuite.audio.vocode"),
    "sweep": ("the temperature with the best copy-synthesis", "flowsuite.audio.sweep"),
    "overlap": ("what synthesis in pieces costs in accuracy", "flowsuite.audio.overlap"),
    "average": ("the mean of several checkpoints of a run", "flowsuite.core.training.averaging"),
}

SHORTCUTS = {"vocode": "speech from audio files or mels       flowsuite vocode in.wav --ckpt_path m.ckpt --out out.wav"}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; errors are exceptions with a message of one line."""
    return run_command("audio", "tools for speech", COMMANDS, argv)

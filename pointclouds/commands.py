"""`flowsuite pointclouds COMMAND`: tools for clouds and meshes. Only the standard library is imported here."""

from __future__ import annotations

import difflib
import importlib

# command -> (what it does, module with `main(argv) -> int | None`)
COMMANDS = {
    "evaluate": ("result tables of a checkpoint: generation, reconstruction", "flowsuite.pointclouds.evaluate"),
    "reconstruct": ("clouds beside their reconstructions", "flowsuite.pointclouds.reconstruct"),
    "interpolate": ("from one shape to another", "flowsuite.pointclouds.interpolate"),
    "heatmap": ("points coloured by their log-density", "flowsuite.pointclouds.heatmap"),
    "probe": ("linear SVM on shape codes", "flowsuite.pointclouds.probe"),
    "build": ("sample clouds from a folder of meshes", "flowsuite.pointclouds.build"),
    "compare": ("JSD, MMD, COV and 1-NNA of generated clouds", "flowsuite.pointclouds.compare"),
    "render": ("draw clouds as a picture", "flowsuite.pointclouds.render_files"),
    "shapes": ("write the procedural shapes as files", "flowsuite.pointclouds.shapes"),
}


def usage() -> str:
    lines = [f"  {name:<12}{what}" for name, (what, _) in COMMANDS.items()]
    return "\n".join(
        [
            "flowsuite pointclouds: tools for point clouds",
            "",
            *lines,
            "",
            "`flowsuite pointclouds COMMAND --help` says more, with examples.",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Runs one command; errors are exceptions with a message of one line."""
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(usage())
        return 0
    command, rest = argv[0], argv[1:]
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(COMMANDS)}"
        raise ValueError(f"unknown command {command!r} of flowsuite pointclouds; {hint}")
    return importlib.import_module(COMMANDS[command][1]).main(rest) or 0

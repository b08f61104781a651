"""`flowsuite pointclouds COMMAND`: tools for clouds and meshes. Only the standard library is imported here."""

from __future__ import annotations

from flowsuite.core.training.commands import run_command

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


def main(argv: list[str] | None = None) -> int:
    """Runs one command; errors are exceptions with a message of one line."""
    return run_command("pointclouds", "tools for point clouds", COMMANDS, argv)

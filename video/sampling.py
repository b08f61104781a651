"""What `flowsuite sample` lets one choose for videos, besides what it has for all models."""

from __future__ import annotations

from flowsuite.core.training.model_options import positive

# argument of `VideoModule.generate` -> (type, help)
OPTIONS = {
    "clips": (
        str,
        "video: what to continue, which the samples take in turn: a file, a folder, a data module, a recipe",
    ),
    "given": (positive, "video: frames to take of each clip (as configured)"),
    "frames": (positive, "video: frames to generate (as configured)"),
    "each": (positive, "video: samples of a clip before the next clip's turn (1)"),
}

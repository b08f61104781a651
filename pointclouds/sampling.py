"""What `flowsuite sample` lets one choose for point clouds, besides what it has for all models."""

from __future__ import annotations

import argparse

from flowsuite.core.training.model_options import positive


def bound(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


# argument of `PointFlowModule.generate` -> (type, help)
OPTIONS = {
    "points": (positive, "point clouds: points of each, any number (as configured, 2048 by default)"),
    "truncation": (bound, "point clouds: points start from normal noise within this bound (none)"),
    "latent_truncation": (bound, "point clouds: shapes start from normal noise within this bound (none)"),
}

"""The published configurations of VideoFlow (arXiv 1903.01434; tensor2tensor 1.15.7)."""

from __future__ import annotations

from typing import Any

_SHARED: dict[str, Any] = {
    "video_shape": (3, 64, 64),
    "levels": 3,
    "steps": 24,
    "activation": "gatu",
    "prior": "window",
    "prior_width": 256,
    "prior_activation": "gatu",
    "dilated": True,
}

PRESETS: dict[str, dict[str, Any]] = {
    "bair-quant": {**_SHARED, "width": 512, "coupling": "affine", "past": 3, "prior_blocks": 5, "skip": True},
    "bair-qual": {**_SHARED, "width": 392, "coupling": "additive", "past": 3, "prior_blocks": 5, "skip": True},
    "shapes": {**_SHARED, "width": 512, "coupling": "additive", "past": 1, "prior_blocks": 10, "skip": False},
}

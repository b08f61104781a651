"""What `flowsuite sample` lets one choose for images, besides what it has for all models."""

from __future__ import annotations

# argument of `VAEModule.generate` -> (type, help)
OPTIONS = {
    "pixels": (bool, "variational autoencoders of images: draw every pixel too, instead of showing the mean"),
}

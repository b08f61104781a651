"""Frames of 8 bits as continuous ones, and back."""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 256
BELOW_ONE = 1 - 2**-16  # the largest share of a bin that float32 can add to 255


def dequantize(
    frames: Tensor,
    generator: torch.Generator | None = None,
    reference: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """`(k + u) / 256 - 0.5` with u uniform in [0, 1): uint8 to floats in [-0.5, 0.5), whatever k never in bin k + 1.

    With `reference` it is `k / 255 - 0.5 + u / 256`, as VideoFlow's code has it (arXiv 1903.01434): bins that leave
    gaps, so that the density is off by log2(256 / 255) = 0.0056 bits per dimension, and reach into the next bin.
    """
    if frames.dtype != torch.uint8:
        raise TypeError(f"expected uint8 frames with values 0..255, got {frames.dtype}")
    noise = torch.rand(frames.shape, generator=generator, device=frames.device, dtype=dtype).clamp_max(BELOW_ONE)
    if reference:
        return frames.to(dtype) / 255 - 0.5 + noise / LEVELS
    return (frames.to(dtype) + noise) / LEVELS - 0.5


def quantize(x: Tensor) -> Tensor:
    """Floats in [-0.5, 0.5) to the bin 0..255, uint8; what lies outside is clipped, what is not finite becomes 255."""
    x = torch.where(x.isfinite(), x, 1.0)
    return ((x.clamp(-0.5, 0.5) + 0.5) * LEVELS).floor().clamp(0, LEVELS - 1).to(torch.uint8)

"""The noise of a synthesis as a function of (seed, column), so that it can be cut anywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.core.training.seeding import fold_seed

BLOCK = 4096  # columns that share a random generator


class ColumnNoise:
    """Standard normal latents times a temperature, (height, columns), the same for a column however they are asked for.

    They are drawn on the CPU, so that they are the same on every device.

    Args:
        height: rows of the latent.
        seed: numbers and names, see `fold_seed`; such as (seed, name of the clip).
        temperature: factor.

    Example:
        >>> noise = ColumnNoise(16, 0, "LJ001-0001")
        >>> torch.equal(noise(0, 10000)[:, 5000:6000], noise(5000, 6000))
        True
    """

    def __init__(self, height: int, *seed: int | str, temperature: float = 1.0):
        if not 0 <= temperature < float("inf"):
            raise ValueError(f"expected a temperature >= 0, got {temperature}")
        self.height, self.seed, self.temperature = height, seed, temperature

    def __call__(self, start: int, stop: int) -> Tensor:
        """Columns [start, stop), float32 (height, stop - start)."""
        if not 0 <= start < stop:
            raise ValueError(f"expected columns 0 <= start < stop, got {start} and {stop}")
        first, last = start // BLOCK, (stop - 1) // BLOCK
        drawn = torch.cat([self._block(index) for index in range(first, last + 1)])
        return self.temperature * drawn[start - first * BLOCK : stop - first * BLOCK].T

    def _block(self, index: int) -> Tensor:
        generator = torch.Generator().manual_seed(fold_seed("columns", *self.seed, index))
        return torch.randn(BLOCK, self.height, generator=generator)

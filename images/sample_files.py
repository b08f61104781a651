"""The files that `flowsuite sample` writes for images."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from flowsuite.core.training.files import write_npz
from flowsuite.core.training.pictures import enlarge, grid, write_png


def save_images(samples: Tensor, out: str | Path, first: int) -> list[Path]:
    """A grid `samples_<first>.png` (small ones enlarged); array `samples` (N, C, H, W) in `samples_<first>.npz`."""
    samples = samples.detach().cpu()
    picture = write_png(Path(out) / f"samples_{first:06d}.png", enlarge(grid(samples)))
    arrays = Path(out) / f"samples_{first:06d}.npz"
    write_npz(arrays, samples=samples.numpy())
    return [picture, arrays]

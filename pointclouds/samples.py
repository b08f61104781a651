"""Writing generated clouds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from flowsuite.core.training.files import atomic_write, make_folder
from flowsuite.pointclouds.ply import write_ply
from flowsuite.pointclouds.render import write_sheet


def save_clouds(clouds: Tensor, out: Path, first: int) -> list[Path]:
    """`cloud_<i>.npy` and `.ply` of clouds number `first` on, (B, N, 3), and `samples_<first>.png`; the paths."""
    clouds = clouds.detach().float().cpu()
    make_folder(out)
    written = [write_sheet(out / f"samples_{first:06d}.png", clouds)]
    for i, cloud in enumerate(clouds, first):
        path = out / f"cloud_{i:06d}.npy"
        with atomic_write(path) as file:
            np.save(file, cloud.numpy(), allow_pickle=False)
        written += [path, write_ply(path.with_suffix(".ply"), cloud)]
    return written

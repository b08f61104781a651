"""Clouds and meshes on disk for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def cloud(seed: int, rows: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 3)).astype(np.float32) * [1.0, 2.0, 3.0] + [0.0, 1.0, -5.0]


def write_cloud(path: Path, array: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(array, dtype=np.float32)
    np.save(path, array)
    return array


def write_pc15k(root: Path, folders=("02691156", "03001627"), sizes=None, rows: int = 60) -> dict[str, np.ndarray]:
    """Clouds in the PC15k layout; by "folder/split/model"."""
    sizes = {"train": 4, "val": 2, "test": 3} if sizes is None else sizes
    written = {}
    for folder in folders:
        for split, size in sizes.items():
            for k in range(size):
                name = f"{folder}/{split}/m{k}"
                written[name] = write_cloud(root / f"{name}.npy", cloud(len(written), rows))
    return written


SQUARE_OFF = "OFF\n4 1 0\n0 0 0\n2 0 0\n2 0 2\n0 0 2\n4 0 1 2 3\n"

"""Videos in NumPy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.numpy_files import load_npz, map_npy

LAYOUTS = {4: "(T, H, W), (T, H, W, C) or (T, C, H, W)", 5: "(N, T, H, W), (N, T, H, W, C) or (N, T, C, H, W)"}


def channels_first(array: np.ndarray, name: str, ndim: int) -> np.ndarray:
    """A view (..., C, H, W) with `ndim` axes of uint8 videos in one of the `LAYOUTS`; C is 1 or 3.

    Raises:
        ValueError: another dtype, or shape; `name` is in the message.
    """
    if array.dtype != np.uint8:
        raise ValueError(f"{name}: expected uint8 frames with values 0..255, got {array.dtype}")
    if array.ndim == ndim - 1:
        array = array[..., None, :, :]
    elif array.ndim == ndim and array.shape[-1] in (1, 3) and array.shape[-3] not in (1, 3):
        array = np.moveaxis(array, -1, -3)
    if array.ndim != ndim or array.shape[-3] not in (1, 3) or not array.size:
        raise ValueError(f"{name}: expected videos {LAYOUTS[ndim]} with C = 1 or 3, got shape {array.shape}")
    return array


def to_tensor(view: np.ndarray) -> Tensor:
    """A copy that is contiguous and may be written to."""
    return torch.from_numpy(np.array(view, order="C"))


def one_clip(path: Path, most: int) -> Tensor:
    """(T, C, H, W) of a `.npy`, or of a `.npz` with one array, or one called `frames`."""
    if path.suffix.lower() == ".npy":
        array = map_npy(path)
    else:
        arrays = load_npz(path, most)
        if "frames" not in arrays and len(arrays) != 1:
            raise ValueError(f"{path}: expected one array or one called frames, it has {', '.join(arrays) or 'none'}")
        array = arrays["frames"] if "frames" in arrays else next(iter(arrays.values()))
    return to_tensor(channels_first(array, str(path), 4))

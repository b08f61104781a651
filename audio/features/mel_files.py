"""Reading the mel of one clip from a file that some tool has written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.audio.features.check import check_mel, not_finite
from flowsuite.audio.features.spec import MelSpec
from flowsuite.core.training.files import reading
from flowsuite.core.training.numpy_files import load_npy, load_npz
from flowsuite.core.training.torch_files import load_torch

SUFFIXES = (".npy", ".npz", ".pt")
KEYS = ("mel", "mel_spectrogram", "melspectrogram", "feats", "features")  # of archives with several arrays


def read_mel(path: str | Path, spec: MelSpec, check: bool = True) -> Tensor:
    """The mel of one clip in a `.npy`, `.npz` or `.pt` file as (n_mels, F) float32.

    The file holds one array, or several of which one is called "mel": (n_mels, F), (F, n_mels) or either with a
    leading 1. If both sides are n_mels the first is taken for the bands.

    Args:
        path: of the file.
        spec: what the mel should be.
        check: whether to hold it against natural speech (`check.check_mel`); without, only shape and finiteness count.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or isn't a mel of `spec`; the message names the file.
    """
    path = Path(path)
    array = torch.as_tensor(read_array(path))
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2 and array.shape[0] != spec.n_mels and array.shape[1] == spec.n_mels:
        array = array.T
    if array.ndim != 2 or array.shape[0] != spec.n_mels or not array.numel():
        raise ValueError(f"{path}: expected a mel ({spec.n_mels}, frames) or its transpose, got {tuple(array.shape)}")
    if array.is_complex() or array.dtype == torch.bool:
        raise ValueError(f"{path}: expected a mel of real numbers, got {array.dtype}")
    mel = array.float().contiguous()
    trouble = not_finite(mel)
    if trouble:
        raise ValueError(f"{path}: {trouble}")
    if check:
        check_mel(mel, spec, str(path))
    return mel


def read_array(path: Path) -> np.ndarray | Tensor:
    """The one array of numbers in a file, without running anything that is in it."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: expected a mel in a file of kind {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found")
    content = load(path)
    array = the_array(content, path) if isinstance(content, Mapping) else content
    if not isinstance(array, np.ndarray | Tensor) or (isinstance(array, np.ndarray) and array.dtype.kind not in "biuf"):
        raise ValueError(f"{path}: expected an array of numbers, got {getattr(array, 'dtype', type(array).__name__)}")
    if isinstance(array, np.ndarray) and not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    return array


def load(path: Path):
    if path.suffix == ".pt":
        with reading(path, ".pt of plain numbers"):
            return load_torch(path)
    return load_npz(path) if path.suffix == ".npz" else load_npy(path)


def the_array(content: Mapping, path: Path):
    """The only entry, or the one that is called like a mel."""
    names = list(content)
    chosen = names if len(names) == 1 else [name for name in names if name in KEYS]
    if len(chosen) != 1:
        raise ValueError(
            f"{path}: expected one array, or one of the name 'mel', got {', '.join(map(str, names)) or 'none'}"
        )
    return content[chosen[0]]

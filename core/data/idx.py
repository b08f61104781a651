"""The IDX format of MNIST."""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np


def read_idx(path: str | Path) -> np.ndarray:
    """An IDX file of bytes, gzipped or not: big-endian int32 magic 0x000008DD, DD sizes, then uint8 values."""
    path = Path(path)
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None
    magic = int.from_bytes(data[:4], "big")
    ndim = magic & 0xFF
    if len(data) < 4 or magic >> 8 != 8 or not 1 <= ndim <= 4:
        raise ValueError(f"{path}: not an IDX file of bytes (magic {magic}; expected 2051 for images, 2049 for labels)")
    start = 4 + 4 * ndim
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    if len(data) < start or len(data) - start != prod(shape):
        raise ValueError(
            f"{path}: expected {prod(shape)} bytes {shape} after the header, got {max(0, len(data) - start)}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)

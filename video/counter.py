"""Random numbers that are a function of (seed, index, column) alone, for whole batches of indices at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

STEP = np.uint64(0x9E3779B97F4A7C15)


def mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64, a bijection of uint64 that scatters neighbours."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def counter_uniforms(seed: int, indices: Sequence[int], columns: int) -> Tensor:
    """(B, columns) uniform numbers in [0, 1), float64: row i is the splitmix64 stream of (seed, indices[i]).

    More columns add to a row and change none of it.
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is meant
        key = mix(np.array([seed % 2**64], np.uint64))
        rows = mix(key + mix(np.asarray(indices, np.int64).astype(np.uint64) * STEP + STEP))
        bits = mix(rows[:, None] + np.arange(1, columns + 1, dtype=np.uint64) * STEP)
    return torch.from_numpy((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)

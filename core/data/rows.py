"""Vectors in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset


class Rows(Dataset):
    """The rows of a float32 table (N, D); a batch is one gather.

    Args:
        x: (N, D), or what numpy and torch make one of.
    """

    def __init__(self, x: Tensor):
        self.x = torch.as_tensor(x, dtype=torch.float32)
        if self.x.ndim != 2:
            raise ValueError(f"expected rows (N, D), got shape {tuple(self.x.shape)}")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Tensor:
        return self.x[i]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        return self.x[torch.as_tensor(indices)]

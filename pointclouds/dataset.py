"""A set of clouds whose batches are dictionaries of normalised points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from flowsuite.pointclouds.clouds import Clouds


class CloudSet(Dataset):
    """Normalised subsets of clouds; `__getitems__` makes a whole batch by one gather.

    The first `first_rows` rows of a cloud are its training points, the rest are held out: other points of the same
    shape, so that even a perfect reconstruction has a distance above 0. A training item has a random subset of the
    training points, drawn from torch's global generator, which the loader seeds from (seed, rank, epoch, batch).
    An evaluation item has the first `n` training points and the first `n` held-out ones.

    Items are dictionaries (a batch has them stacked):
        points (n, 3) float32: normalised, `(x - mean) / std`.
        reference (n, 3) float32: the held-out points, normalised alike; evaluation only.
        index, label: number of the shape in this set, and of its category.
        mean (1, 3), std (1, 1) or (1, 3) float32: of the normalisation.

    Args:
        clouds: S clouds of N points.
        mean: (1 or S, 1, 3).
        std: (1 or S, 1, 1 or 3).
        n: points of an item.
        first_rows: rows of a cloud that training points are taken from; two thirds of them (10,000 of 15,000) if None.
        training: random subsets, see above.
        replacement: draw points with replacement.
        transform: applied to batches of training points (B, n, 3).
    """

    def __init__(
        self,
        clouds: Clouds,
        mean: Tensor,
        std: Tensor,
        n: int = 2048,
        first_rows: int | None = None,
        training: bool = False,
        replacement: bool = True,
        transform: Callable[[Tensor], Tensor] | None = None,
    ):
        rows = clouds.points.shape[1]
        self.first_rows = rows * 2 // 3 if first_rows is None else first_rows
        if not 0 < self.first_rows < rows:
            raise ValueError(
                f"first_rows must be between 1 and {rows - 1} for clouds of {rows} points, got {first_rows}"
            )
        most = self.first_rows if training else min(self.first_rows, rows - self.first_rows)
        if n < 1 or (n > most and not (training and replacement)):
            what = "training" if training else "evaluation"
            raise ValueError(f"{what} points must be between 1 and {most} for clouds of {rows} points, got {n}")
        self.clouds, self.n, self.training = clouds, n, training
        self.mean, self.std = mean.float(), std.float()
        self.replacement, self.transform = replacement, transform

    def __len__(self) -> int:
        return len(self.clouds)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {name: value[0] for name, value in self.__getitems__([i]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        index = torch.as_tensor(indices)
        mean = self.mean[index] if len(self.mean) > 1 else self.mean.expand(len(index), -1, -1)
        std = self.std[index] if len(self.std) > 1 else self.std.expand(len(index), -1, -1)
        batch = {"index": index, "label": self.clouds.labels[index], "mean": mean, "std": std}
        if not self.training:
            return {
                "points": (self.clouds.points[index, : self.n] - mean) / std,
                "reference": (self.clouds.points[index, self.first_rows : self.first_rows + self.n] - mean) / std,
                **batch,
            }
        points = (self.gather(index, self.draw(len(index))) - mean) / std
        return {"points": points if self.transform is None else self.transform(points), **batch}

    def draw(self, batch: int) -> Tensor:
        """Random rows (B, n) of the training points."""
        if self.replacement:
            return torch.randint(self.first_rows, (batch, self.n))
        return torch.rand(batch, self.first_rows).topk(self.n, dim=1).indices

    def gather(self, index: Tensor, rows: Tensor) -> Tensor:
        """Rows (B, n) of the clouds `index` (B,): (B, n, 3)."""
        flat = index[:, None] * self.clouds.points.shape[1] + rows
        return self.clouds.points.view(-1, 3).index_select(0, flat.flatten()).view(*rows.shape, 3)

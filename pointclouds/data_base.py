"""Base of the point-cloud data modules: points per shape, normalisation, augmentation, splits."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.core.training.data import FlowDataModule
from flowsuite.pointclouds.augment import jitter, random_rotation
from flowsuite.pointclouds.clouds import Clouds
from flowsuite.pointclouds.dataset import CloudSet
from flowsuite.pointclouds.normalize import KINDS, statistics


class PointCloudDataModule(FlowDataModule):
    """Batches of clouds as dictionaries, see `CloudSet`; a data set overrides `source(part)`.

    Args:
        batch_size: shapes per process and step.
        num_workers: worker processes of each loader; 0 loads in the training process.
        points: points of a training item, drawn anew every time.
        eval_points: points of a validation or test item: the first of the training rows, and as many held-out ones.
        replacement: draw training points with replacement, as the published code does.
        normalize: "global", "per_axis", "per_shape" or "none", see `statistics`. Computed from the training split and
            used for all; except "per_shape", where every shape of every split has its own.
        rotate: turn training clouds about the vertical axis (axis 1) by random angles.
        jitter: standard deviation of normal noise added to training points, in normalised units.
        evaluation: the split that "test" stands for: "test", or "val" as in the published protocol of PointFlow.
        first_rows: rows of a cloud that are training points, the others being held out; None: two thirds.
    """

    def __init__(
        self,
        batch_size: int = 16,
        num_workers: int = 0,
        points: int = 2048,
        eval_points: int = 2048,
        replacement: bool = True,
        normalize: str = "global",
        rotate: bool = False,
        jitter: float = 0.0,
        evaluation: str = "test",
        first_rows: int | None = None,
    ):
        super().__init__(batch_size, num_workers)
        if normalize not in KINDS:
            raise ValueError(f"normalize must be one of {', '.join(KINDS)}, got {normalize!r}")
        if evaluation not in ("val", "test"):
            raise ValueError(f'evaluation must be "val" or "test", got {evaluation!r}')
        if jitter < 0 or points < 1 or eval_points < 1:
            raise ValueError(
                f"expected points >= 1, eval_points >= 1 and jitter >= 0, got {points}, {eval_points}, {jitter}"
            )
        self.points, self.eval_points, self.replacement = points, eval_points, replacement
        self.normalize, self.rotate, self.jitter = normalize, rotate, jitter
        self.evaluation, self.first_rows = evaluation, first_rows
        self._clouds: dict[str, Clouds] = {}
        self._statistics: tuple[Tensor, Tensor] | None = None

    def source(self, part: str) -> Clouds:
        """The clouds of "train", "val" or "test", not normalised."""
        raise NotImplementedError(f"{type(self).__name__} must define source(part)")

    def clouds(self, part: str) -> Clouds:
        """`source(part)`, read once."""
        if part not in self._clouds:
            self._clouds[part] = self.source(part)
        return self._clouds[part]

    def make_dataset(self, split):
        clouds = self.clouds(self.evaluation if split == "test" else split)
        mean, std = self.statistics(clouds)
        training = split == "train"
        return CloudSet(
            clouds,
            mean,
            std,
            self.points if training else self.eval_points,
            self.first_rows,
            training,
            self.replacement,
            self.augment if training and (self.rotate or self.jitter) else None,
        )

    def evaluation_items(self, part: str) -> CloudSet:
        """The shapes of "train", "val" or "test" as evaluation items: always the same points."""
        clouds = self.clouds(part)
        return CloudSet(clouds, *self.statistics(clouds), self.eval_points, self.first_rows)

    def statistics(self, clouds: Clouds) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation that normalise `clouds`, float64."""
        if self.normalize == "per_shape":
            return statistics(clouds.points, "per_shape")
        if self._statistics is None:
            self._statistics = statistics(self.clouds("train").points, self.normalize)
        return self._statistics

    def normalization(self) -> dict[str, Tensor]:
        """What takes generated clouds back to the units of the data, `x * std + mean`, to be kept with a model.

        `mean` (1, 1, 3) and `std` (1, 1, 1 or 3), float32. With "per_shape" a generated shape has no statistics of its
        own, and borrowing those of test shapes would flatter the metrics: these are then the averages over the
        training shapes.
        """
        mean, std = self.statistics(self.clouds("train"))
        return {"mean": mean.mean(0, keepdim=True).float(), "std": std.mean(0, keepdim=True).float()}

    def augment(self, points: Tensor) -> Tensor:
        """What happens to a batch of training points (B, n, 3); override for augmentations of your own."""
        if self.rotate:
            points = random_rotation(points)
        return jitter(points, self.jitter) if self.jitter else points


def held_out(total: int, n: int, seed: int, name: str) -> tuple[list[int], list[int]]:
    """0..total-1 without `n` of them drawn with a fixed seed, and those `n`; both ascending."""
    if not 0 < n < total:
        raise ValueError(f"{name} must be between 1 and {total - 1} for {total} shapes, got {n}")
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed)).tolist()
    return sorted(order[n:]), sorted(order[:n])

"""Means and standard deviations that bring clouds to a common scale."""

from __future__ import annotations

import torch
from torch import Tensor

KINDS = ("global", "per_axis", "per_shape", "none")
SAME = 1e-3  # statistics that differ by less, in standard deviations, are the same


def moments(points: Tensor, chunk: int = 64) -> tuple[Tensor, Tensor]:
    """Of every cloud (S, N, 3) the mean per axis and the mean square about it, both (S, 3) float64."""
    means, squares = [], []
    for part in points.split(chunk):
        part = part.double()
        mean = part.mean(dim=1)
        means.append(mean)
        squares.append((part - mean[:, None]).square().mean(dim=1))
    return torch.cat(means), torch.cat(squares)


def statistics(points: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """`(mean, std)` of clouds (S, N, 3), float64, so that `(x - mean) / std` is normalised; all rows count.

    - "global": mean per axis over all points of all shapes, (1, 1, 3); one standard deviation of all coordinates
      about their one common mean, (1, 1, 1).
    - "per_axis": the same mean; a standard deviation per axis, (1, 1, 3).
    - "per_shape": as "global", for every shape by itself: (S, 1, 3) and (S, 1, 1).
    - "none": 0 and 1.

    Standard deviations divide by the number of coordinates (no Bessel correction), as the public PointFlow does
    (arXiv:1906.12320).
    """
    if kind not in KINDS:
        raise ValueError(f"unknown normalisation {kind!r}: expected one of {', '.join(KINDS)}")
    if kind == "none":
        return torch.zeros(1, 1, 3, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
    means, squares = moments(points)
    if kind == "per_shape":
        centre = means.mean(dim=1, keepdim=True)
        variance = (squares + (means - centre).square()).mean(dim=1)
        return means[:, None, :], positive(variance.sqrt())[:, None, None]
    mean = means.mean(dim=0)
    variance = (squares + (means - mean).square()).mean(dim=0)
    if kind == "global":
        variance = (variance + (mean - mean.mean()).square()).mean(dim=0, keepdim=True)
    return mean[None, None, :], positive(variance.sqrt())[None, None, :]


def check_normalization(data, mean: Tensor, std: Tensor) -> None:
    """That a model which keeps `mean` and `std`, (1, 1, 3) each, is given clouds at the scale that it was trained at.

    `data` is a `PointCloudDataModule`. With "per_shape" every shape has statistics of its own: nothing to compare.
    """
    if data.normalize == "per_shape":
        return
    found = {name: value.expand(1, 1, 3).to(mean) for name, value in data.normalization().items()}
    if max(((found["mean"] - mean) / std).abs().max(), (found["std"] / std - 1).abs().max()) > SAME:
        theirs, ours = (f"mean {rounded(m)}, std {rounded(s)}" for m, s in ((found["mean"], found["std"]), (mean, std)))
        raise ValueError(
            f"{type(data).__name__} is normalised with {theirs}, the model was trained with {ours}: take the data it "
            "was trained on, or files, which are normalised as the model was"
        )


def rounded(values: Tensor) -> str:
    return " ".join(f"{value:.4g}" for value in values.flatten().tolist())


def positive(std: Tensor) -> Tensor:
    """`std` if no entry is 0."""
    flat = (std == 0).nonzero()
    if len(flat):
        raise ValueError(f"cannot normalise: standard deviation {int(flat[0, 0])} is 0, those points all coincide")
    return std

"""Of N samples of every video: the best, the mean and the worst, for each metric by itself."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class BestOfN(NamedTuple):
    """Curves over the predicted frames, averaged over videos.

    Attributes:
        best, worst: (T,) of the sample with the highest and the lowest mean over frames, chosen for every video.
        mean, std: (T,) mean over samples, and standard deviation between samples (biased).
        best_sample, worst_sample: (V,) which samples these were.
    """

    best: Tensor
    mean: Tensor
    worst: Tensor
    std: Tensor
    best_sample: Tensor
    worst_sample: Tensor


def best_of_n(values: Tensor) -> BestOfN:
    """The curves of one metric, of which more is better, from (N, V, T): samples, videos, frames.

    Raises:
        ValueError: another number of axes, or nothing in one.
    """
    if values.ndim != 3 or not values.numel():
        raise ValueError(f"expected values (samples, videos, frames), got shape {tuple(values.shape)}")
    means = values.mean(-1)
    best, worst = means.argmax(0), means.argmin(0)
    curves = [values.gather(0, chosen[None, :, None].expand(1, -1, values.shape[2]))[0] for chosen in (best, worst)]
    return BestOfN(
        best=curves[0].mean(0),
        mean=values.mean((0, 1)),
        worst=curves[1].mean(0),
        std=values.std(0, correction=0).mean(0),
        best_sample=best,
        worst_sample=worst,
    )

"""Bits per dimension of videos given their first frames."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from flowsuite.core.objective import bits_per_dim, importance_weighted_bound

LEVELS = 256


def discrete_log_prob(log_density: Tensor, dims: int) -> Tensor:
    """Nats of a frame of 8 bits from the log-density of the frame with noise of width 1/256: `log p - dims log 256`."""
    return log_density - dims * math.log(LEVELS)


def video_bits_per_dim(log_prob: Tensor, dims: int) -> Tensor:
    """`-sum_t log p(x_t | x_<t) / (T D log 2)`: (..., T) nats of discrete frames -> (...).

    Args:
        log_prob: of each scored frame.
        dims: D = C H W of a frame.
    """
    return bits_per_dim(log_prob.sum(-1), dims * log_prob.shape[-1])


@dataclass
class VideoBits:
    """Bits per dimension of a set of videos, teacher-forced.

    Attributes:
        videos, frames, draws: how many videos, scored frames of each, and dequantisation draws.
        one_draw, one_draw_error: mean over videos with the first draw, which papers report, and its standard error.
        mean, mean_error: over all draws.
        importance_weighted, importance_weighted_error: from `logsumexp_k(log w_k) - log K` of each video, a tighter
            bound.
        by_frame: mean over videos and draws, for each scored frame.
    """

    videos: int
    frames: int
    draws: int
    one_draw: float
    one_draw_error: float
    mean: float
    mean_error: float
    importance_weighted: float
    importance_weighted_error: float
    by_frame: list[float]

    def as_dict(self) -> dict:
        return asdict(self)


def summarize_bits(log_prob: Tensor, dims: int) -> VideoBits:
    """The figures from nats of discrete frames.

    Args:
        log_prob: (draws, videos, frames).
        dims: C H W of a frame.
    """
    draws, videos, frames = log_prob.shape
    log_prob = log_prob.double()
    total = log_prob.sum(-1)
    forms = {"one_draw": total[0], "mean": total.mean(0), "importance_weighted": importance_weighted_bound(total)}
    figures = {}
    for name, nats in forms.items():
        bits = bits_per_dim(nats, dims * frames)
        figures[name] = bits.mean().item()
        figures[f"{name}_error"] = (bits.std() / math.sqrt(videos)).item() if videos > 1 else math.nan
    by_frame = bits_per_dim(log_prob.mean((0, 1)), dims).tolist()
    return VideoBits(videos, frames, draws, **figures, by_frame=by_frame)


def concatenate_draws(batches: list[Tensor]) -> Tensor:
    """(draws, videos, frames) of all batches."""
    return torch.cat([batch.double().cpu() for batch in batches], 1)

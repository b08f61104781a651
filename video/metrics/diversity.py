"""How much samples of one context differ from one another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.video.metrics.networks import cosine_similarity, vgg_features

PAPER_SAMPLES = 10  # VideoFlow: the 45 pairs of 10 samples


def pairs(n: int) -> tuple[Tensor, Tensor]:
    """All pairs i < j below n.

    Raises:
        ValueError: there is none.
    """
    if n < 2:
        raise ValueError(f"diversity needs at least 2 samples of a context, got {n}")
    return tuple(torch.triu_indices(n, n, 1))


def pixel_diversity(samples: Tensor) -> Tensor:
    """The mean over pairs of samples of `sqrt(mean (x_i - x_j)^2)`, in grey levels: (V, N, T, C, H, W) uint8 -> (V,).

    In terms of the Gram matrix of the samples, so that the pairs are one product of matrices.
    """
    first, second = (index.to(samples.device) for index in pairs(samples.shape[1]))
    flat = samples.flatten(2).float()
    flat = flat - flat.mean(1, keepdim=True)
    gram = flat @ flat.transpose(1, 2)
    norm = gram.diagonal(dim1=1, dim2=2)
    squared = (norm[:, first] + norm[:, second] - 2 * gram[:, first, second]).clamp_min(0)
    return (squared / flat.shape[2]).sqrt().mean(1)


def vgg_diversity(network: nn.Module, samples: Tensor) -> Tensor:
    """The mean over pairs of samples, and frames, of 1 - VGG similarity (VideoFlow, arXiv 1903.01434):
    (V, N, T, C, H, W) uint8 -> (V,)."""
    first, second = pairs(samples.shape[1])
    found = []
    for video in samples:  # the maps of all videos at once would take gigabytes
        maps = [m.unflatten(0, video.shape[:2]) for m in vgg_features(network, video.flatten(0, 1))]
        total = [
            1 - cosine_similarity([m[i] for m in maps], [m[j] for m in maps]).mean()
            for i, j in zip(first.tolist(), second.tolist(), strict=True)
        ]
        found.append(torch.stack(total).mean())
    return torch.stack(found)

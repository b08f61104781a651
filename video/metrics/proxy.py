"""A stand-in for FVD that needs no weights: the Frechet distance on features of a random 3-D network.

It is NOT FVD, its values compare with nothing but themselves (same frames, size and number of videos), and it ranks
corruptions of one kind by their strength, not different kinds as people would.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.video.metrics.frechet import frechet_distance

WIDTHS = (16, 32, 64)
SEED = 20200401


class RandomFeatures3D(nn.Module):
    """uint8 videos (B, T, C, H, W) to (B, 2 * 112) features: 3x3x3 convolutions with Gaussian weights of a fixed seed,
    two by two pooled in space, of which each layer gives its channels' mean and standard deviation over the video.

    Args:
        seed: of the weights; figures of different seeds do not compare.
    """

    def __init__(self, seed: int = SEED):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        channels = (3, *WIDTHS)
        self.weights = nn.ParameterList()
        for wide, narrow in zip(channels[1:], channels, strict=False):
            weight = torch.randn(wide, narrow, 3, 3, 3, generator=generator)
            weight = weight - weight.mean((1, 2, 3, 4), keepdim=True)  # so that a flat picture gives nothing
            self.weights.append(nn.Parameter(weight * (2 / (27 * narrow)) ** 0.5, requires_grad=False))

    def forward(self, videos: Tensor) -> Tensor:
        x = videos.expand(-1, -1, 3, -1, -1).transpose(1, 2).float() / 127.5 - 1
        features = []
        for weight in self.weights:
            x = F.leaky_relu(F.conv3d(F.pad(x, (1,) * 6, mode="replicate"), weight), 0.2)
            features += [x.mean((2, 3, 4)), x.std((2, 3, 4))]
            if min(x.shape[-2:]) > 3:
                x = F.avg_pool3d(x, (1, 2, 2))
        return torch.cat(features, 1)


@torch.no_grad()
def proxy_features(videos: Tensor, batch: int = 16) -> Tensor:
    """Features (B, F) of (B, T, C, H, W) uint8 videos."""
    network = RandomFeatures3D().to(videos.device)
    return torch.cat([network(part) for part in videos.split(batch)])


def random_frechet_distance(real: Tensor, generated: Tensor) -> float:
    """The distance of two sets of (B, T, C, H, W) uint8 videos; not FVD."""
    return frechet_distance(proxy_features(real), proxy_features(generated))

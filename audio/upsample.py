"""From one spectrogram column a frame to one a sample."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from flowsuite.audio.normed_conv import NormedConvTranspose2d
from flowsuite.audio.squeeze import cut_behind


def hop_factors(hop_length: int) -> tuple[int, int]:
    """Two even factors of a hop, as near to each other as can be: 256 -> (16, 16), 64 -> (8, 8)."""
    for first in range(math.isqrt(hop_length), 1, -1):
        if hop_length % first == 0 and first % 2 == 0 and (hop_length // first) % 2 == 0:
            return hop_length // first, first
    raise ValueError(f"hop_length must be a product of two even factors, got {hop_length}: give factors")


class MelUpsampler(nn.Module):
    """WaveFlow's conditioner: (B, n_mels, F) -> (B, n_mels, hop * F) (arXiv 1912.01219, section 5.1).

    The spectrogram is an image of one channel. Every factor u of the hop is a transposed convolution with a kernel of 3
    bands by 2u frames, stride (1, u) and padding (1, u/2), weight-normed, followed by LeakyReLU(0.4).

    Args:
        factors: even numbers whose product is the hop length, (16, 16) as published.
    """

    frame_reach = 2  # frames to either side that a frame's samples depend on: 1 + 1/u + 1/(u u') + ... < 2

    def __init__(self, factors: tuple[int, ...] = (16, 16)):
        super().__init__()
        if not factors or any(u < 2 or u % 2 for u in factors):
            raise ValueError(f"the factors of an upsampler must be even numbers, got {tuple(factors)}")
        self.hop_length = math.prod(factors)
        self.stages = nn.ModuleList(
            NormedConvTranspose2d(1, 1, (3, 2 * u), stride=(1, u), padding=(1, u // 2)) for u in factors
        )

    def forward(self, mel: Tensor, frames: Tensor | None = None) -> Tensor:
        """With `frames` (B,) the first so many of each clip, as if the others were not there; zeros behind them."""
        image = cut_behind(mel.unsqueeze(1), frames)
        for stage in self.stages:
            frames = None if frames is None else frames * stage.stride[1]
            image = cut_behind(leaky_relu(stage(image), 0.4), frames)
        return image.squeeze(1)


class TransposedUpsampler(nn.Module):
    """WaveGlow's conditioner: one transposed convolution over time, (B, n_mels, F) -> (B, n_mels, hop * F).

    Its output has `kernel_size - hop_length` samples more, which are cut off (arXiv 1811.00002 and its public code).
    """

    def __init__(self, n_mels: int = 80, hop_length: int = 256, kernel_size: int = 1024):
        super().__init__()
        if kernel_size < hop_length:
            raise ValueError(f"expected kernel_size >= hop_length, got {kernel_size} and {hop_length}")
        self.hop_length = hop_length
        self.frame_reach = -(-kernel_size // hop_length) - 1  # frames before, none after
        self.conv = nn.ConvTranspose1d(n_mels, n_mels, kernel_size, stride=hop_length)

    def forward(self, mel: Tensor, frames: Tensor | None = None) -> Tensor:
        """With `frames` (B,) the first so many of each clip, as if the others were not there; zeros behind them."""
        up = self.conv(cut_behind(mel, frames))[..., : self.hop_length * mel.shape[-1]]
        return cut_behind(up, None if frames is None else frames * self.hop_length)

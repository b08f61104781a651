"""How time enters a vector field."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class BareTime(nn.Module):
    """`t` itself: () -> (1,), (B,) -> (B, 1)."""

    features = 1

    def forward(self, t: Tensor) -> Tensor:
        return t.unsqueeze(-1)


class FourierTime(nn.Module):
    """`cos(pi k t), sin(pi k t)` for k = 1..K: () -> (2K,), (B,) -> (B, 2K)."""

    def __init__(self, frequencies: int):
        super().__init__()
        self.features = 2 * frequencies
        self.register_buffer("frequencies", math.pi * torch.arange(1, frequencies + 1).double(), persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        phase = t.unsqueeze(-1) * self.frequencies.to(t.dtype)
        return torch.cat((phase.cos(), phase.sin()), dim=-1)


def make_time_embedding(frequencies: int) -> nn.Module:
    """`BareTime` for 0, else `FourierTime`."""
    if frequencies < 0:
        raise ValueError(f"time_frequencies must not be negative, got {frequencies}")
    return FourierTime(frequencies) if frequencies else BareTime()

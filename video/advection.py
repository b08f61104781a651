"""Motions of a latent: what it would be, had everything moved by some cells."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHARPNESS = 10.0  # of kernels: their parameters move by the learning rate a step, and cells are some nats apart
START = 0.6


class Advection(nn.Module):
    """`a_m(z) = sum_k softmax(10 w_m)_k shift_k(z)`, one for each of M = reach^2 motions, alike for all channels.

    The kernels are those of convolutional dynamic neural advection (arXiv 1605.07157): what moves is carried along
    unchanged, whatever it is. They start as the shifts by whole cells within a square of `reach`, one each, to 98 %
    at reach 3 and 94 % at reach 5; what they learn are the motions in between. Beyond its borders a
    latent goes on as it ends.

    Args:
        reach: size of the kernels, odd.
    """

    def __init__(self, reach: int):
        super().__init__()
        if reach < 1 or reach % 2 == 0:
            raise ValueError(f"reach must be an odd number of cells, got {reach}")
        self.reach, self.motions = reach, reach**2
        self.logits = nn.Parameter(START * torch.eye(self.motions))

    def forward(self, z: Tensor) -> Tensor:
        """(N, C, H, W) to (N, M, C, H, W)."""
        kernels = (SHARPNESS * self.logits).softmax(1).view(-1, 1, self.reach, self.reach)
        padded = F.pad(z, [self.reach // 2] * 4, mode="replicate").flatten(0, 1).unsqueeze(1)
        return F.conv2d(padded, kernels.to(z.dtype)).unflatten(0, z.shape[:2]).transpose(1, 2)

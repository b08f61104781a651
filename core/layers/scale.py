"""Scale maps of affine couplings: from a free number to the log of a positive scale."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ExpScale(nn.Module):
    """`log_scale = h`: unbounded."""

    def forward(self, h: Tensor) -> Tensor:
        return h


class SigmoidScale(nn.Module):
    """`scale = floor + (1 - floor) * sigmoid(h + offset)`.

    `floor=0, offset=2` is Glow's published map (arXiv 1807.03039), whose scale may come as close to 0 as it likes; a
    floor such as 0.05 bounds the inverse.
    """

    def __init__(self, offset: float = 2.0, floor: float = 0.0):
        super().__init__()
        if not 0 <= floor < 1:
            raise ValueError(f"floor must be in [0, 1), got {floor}")
        self.offset, self.floor = offset, floor

    def forward(self, h: Tensor) -> Tensor:
        if self.floor:
            return torch.log(self.floor + (1 - self.floor) * torch.sigmoid(h + self.offset))
        return F.logsigmoid(h + self.offset)


class TanhScale(nn.Module):
    """`log_scale = bound * tanh(h / bound)`: between exp(-bound) and exp(bound), slope 1 at 0."""

    def __init__(self, bound: float = 2.0):
        super().__init__()
        if bound <= 0:
            raise ValueError(f"bound must be positive, got {bound}")
        self.bound = bound

    def forward(self, h: Tensor) -> Tensor:
        return self.bound * torch.tanh(h / self.bound)


class LearnedTanhScale(nn.Module):
    """`log_scale = s * tanh(h) + offset` with one learned scalar `s` (RealNVP, arXiv 1605.08803).

    `learn_offset` adds the learned scalar offset that the published code uses in place of batch norm.
    """

    def __init__(self, initial: float = 1.0, learn_offset: bool = False):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(initial))
        self.offset = nn.Parameter(torch.zeros(())) if learn_offset else None

    def forward(self, h: Tensor) -> Tensor:
        log_scale = self.scale * torch.tanh(h)
        return log_scale if self.offset is None else log_scale + self.offset


class SoftplusScale(nn.Module):
    """`scale = softplus(h) + floor`, as in nflows' masked autoregressive layers."""

    def __init__(self, floor: float = 1e-3):
        super().__init__()
        if floor < 0:
            raise ValueError(f"floor must not be negative, got {floor}")
        self.floor = floor

    def forward(self, h: Tensor) -> Tensor:
        return torch.log(F.softplus(h) + self.floor)


SCALES = {
    "sigmoid": SigmoidScale,
    "bounded_sigmoid": lambda: SigmoidScale(floor=0.05),
    "tanh": TanhScale,
    "exp": ExpScale,
    "learned_tanh": LearnedTanhScale,
    "softplus": SoftplusScale,
}


def make_scale(name: str) -> nn.Module:
    if name not in SCALES:
        raise ValueError(f"unknown scale map {name!r}: expected one of {', '.join(SCALES)}")
    return SCALES[name]()

"""Companding: a fixed monotone map of values that gives frequent ones room and takes it from rare ones."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.core.layers.actnorm import initializing
from flowsuite.core.layers.statistics import sum_over_ranks
from flowsuite.core.numerics import at_least_float32, sum_over_event
from flowsuite.core.transform import Transform


class Compand(Transform):
    """Piecewise linear on `bins` equal bins of [low, high): bin k becomes `(p_k + floor)^power` wide, up to one factor.

    The p_k are the shares of the bins in the first batch, counted once and then fixed, over all channels together. The
    map is scaled to mean width 1, so power 0 (or a flat histogram) is the identity; power 1/3 is the companding of an
    optimal quantiser (Panter & Dite 1951), power 1 makes the marginal uniform. Outside, it goes on with the slope of
    the nearest bin. log-det: the sum of the logs of slopes.

    What it is for: where most values are equal, a black ground say, and only dequantisation noise of one bin tells them
    apart, all others are hundreds of standard deviations of that noise away. Companded, they are some tens.

    Args:
        bins: of dequantised values, one for each integer.
        power: 0 to 1.
        low, high: range of the values.
        floor: added to the shares.
    """

    def __init__(
        self, bins: int = 256, power: float = 1 / 3, low: float = -0.5, high: float = 0.5, floor: float = 1e-4
    ):
        super().__init__()
        if bins < 1 or not 0 <= power <= 1 or not low < high or not floor > 0:
            raise ValueError(
                "expected bins >= 1, power in [0, 1], low < high and floor > 0, "
                f"got {bins}, {power}, {low}, {high}, {floor}"
            )
        self.bins, self.power, self.low, self.high, self.floor = bins, power, low, high, floor
        self.register_buffer("slope", torch.ones(bins))
        self.register_buffer("initialized", torch.zeros((), dtype=torch.bool))

    def extra_repr(self) -> str:
        return f"bins={self.bins}, power={self.power:g}"

    @property
    def width(self) -> float:
        return (self.high - self.low) / self.bins

    def bin_of(self, x: Tensor) -> Tensor:
        return ((x - self.low) / self.width).floor().clamp(0, self.bins - 1).long()

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Counts the values of a batch, on all ranks."""
        counts = torch.bincount(self.bin_of(x).flatten(), minlength=self.bins).to(self.slope.dtype)
        counts = sum_over_ranks(counts)
        wanted = (counts / counts.sum() + self.floor) ** self.power
        self.slope.copy_(wanted / wanted.mean())
        self.initialized.fill_(True)

    def edges(self) -> Tensor:
        """Where the bins begin after the map, (bins,); both ends of the range stay where they are."""
        lengths = self.slope.double() * self.width
        return (lengths.cumsum(0) - lengths + self.low).to(self.slope.dtype)

    def forward(self, x, context=None):
        if initializing() and not self.initialized:
            self.initialize(x)
        x = at_least_float32(x)
        k = self.bin_of(x)
        slope = self.slope[k]
        return self.edges()[k] + (x - (self.low + self.width * k)) * slope, sum_over_event(slope.log())

    def inverse(self, z, context=None):
        z, edges = at_least_float32(z), self.edges()
        k = (torch.searchsorted(edges, z.contiguous(), right=True) - 1).clamp(0, self.bins - 1)
        slope = self.slope[k]
        return self.low + self.width * k + (z - edges[k]) / slope, -sum_over_event(slope.log())

"""Moving batch norm on clouds."""

from __future__ import annotations

from torch import Tensor

from flowsuite.core.layers.batchnorm import MovingBatchNorm
from flowsuite.core.numerics import at_least_float32


class PointBatchNorm(MovingBatchNorm):
    """`MovingBatchNorm` with running statistics on clouds (B, N, C), whose channels are the last axis.

    Statistics go over points and batch. With `legacy` they are those of the public PointFlow (@26e8c26), which
    transposes (B, N, C) to (N, B, C) and reads that as (C, -1): each "channel" is a third of the coordinates of all
    axes. That is for training on from imported weights; in evaluation the two are the same.

    Args:
        channels: size of the last axis.
        legacy: take the mixed-up statistics.
    """

    def __init__(self, channels: int, legacy: bool = False):
        super().__init__(channels, affine=True, statistics="running")
        self.legacy = legacy

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, legacy={self.legacy}"

    def _parameters_for(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if x.ndim != 3 or x.shape[-1] != self.channels:
            raise ValueError(f"PointBatchNorm expected clouds (B, N, {self.channels}), got {tuple(x.shape)}")
        mean, var = self.running_mean, self.running_var
        if self.training:
            rows = x.transpose(0, 1).reshape(self.channels, -1).mT if self.legacy else x.reshape(-1, self.channels)
            mean, var = self._train_statistics(rows)
        return self._scale_and_shift(mean, var)

    def points(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`(z, log|det| of every point (B, N))`."""
        x = at_least_float32(x)
        scale, shift, log_scale = self._parameters_for(x)
        return x * scale + shift, log_scale.sum().expand(x.shape[:-1])

    def inverse_points(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """`(x, log|det| of every point (B, N))`."""
        if self.training:
            raise RuntimeError("PointBatchNorm cannot decode in training mode: call eval() on the flow first")
        z = at_least_float32(z)
        scale, shift, log_scale = self._parameters_for(z)
        return (z - shift) / scale, -log_scale.sum().expand(z.shape[:-1])

    def forward(self, x, context=None):
        z, ladj = self.points(x)
        return z, ladj.sum(1)

    def inverse(self, z, context=None):
        x, ladj = self.inverse_points(z)
        return x, ladj.sum(1)

"""Batch normalisation as a layer of a flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.core.layers.channel_affine import check_channels, positions
from flowsuite.core.layers.statistics import channel_moments, move_average, several_ranks
from flowsuite.core.numerics import at_least_float32
from flowsuite.core.transform import Transform


class MovingBatchNorm(Transform):
    """`z = (x - mean) / sqrt(var + eps)`, per channel; log-det `-positions * sum(log(var + eps)) / 2`.

    With `affine`, `z = (x - mean) / sqrt(var + eps) * exp(w) + b`, and `positions * sum(w)` joins the log-det. In
    evaluation the statistics are running averages. In training they are, by `statistics`,

    - "batch" (RealNVP, arXiv 1605.08803, section 3.7; MAF, 1705.07057): those of the batch, population variance, with
      gradients; the likelihood is then no proper one, because examples see each other;
    - "running" (FFJORD, 1810.01367; PointFlow, 1906.12320): the running averages as they stood before the batch, which
      carry no gradient and take up the batch afterwards, with its unbiased variance.

    After every training batch `running <- (1 - momentum) * running + momentum * batch`. On several ranks the statistics
    are those of the joined batch. Going from latent to data is refused in training mode, where the map changes from
    call to call; reversible training therefore cannot contain this layer.

    Args:
        channels: size of axis 1; x is (B, C) or (B, C, ...).
        momentum: weight of a batch in the running averages.
        eps: added to the variance.
        affine: learn `w` and `b`, 0 at first.
        statistics: "batch" or "running".
    """

    def __init__(
        self,
        channels: int,
        momentum: float = 0.1,
        eps: float = 1e-4,
        affine: bool = False,
        statistics: str = "batch",
    ):
        super().__init__()
        if statistics not in ("batch", "running"):
            raise ValueError(f'statistics must be "batch" or "running", got {statistics!r}')
        if not 0 < momentum <= 1:
            raise ValueError(f"momentum must be in (0, 1], got {momentum}")
        if eps <= 0:
            raise ValueError(f"eps must be positive, got {eps}")
        self.channels, self.momentum, self.eps, self.statistics = channels, momentum, eps, statistics
        self.log_scale = nn.Parameter(torch.zeros(channels)) if affine else None
        self.shift = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def extra_repr(self) -> str:
        return f"channels={self.channels}, momentum={self.momentum}, eps={self.eps}, statistics={self.statistics}"

    def _train_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The statistics that normalise `x` in training; updates the running ones."""
        if x.numel() == self.channels and not several_ranks():
            raise ValueError("MovingBatchNorm needs more than one value a channel in training, got a batch of one")
        if self.statistics == "batch":
            mean, var = channel_moments(x)
            used = mean, var
        else:
            mean, var = channel_moments(x.detach(), unbiased=True)
            used = self.running_mean.clone(), self.running_var.clone()
        move_average(self.running_mean, mean, self.momentum)
        move_average(self.running_var, var, self.momentum)
        return used

    def _scale_and_shift(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(scale, shift, log scale)`, each (C,), such that `z = x * scale + shift`."""
        log_scale = -0.5 * torch.log(var + self.eps)
        if self.log_scale is not None:
            log_scale = log_scale + self.log_scale
        scale = log_scale.exp()
        shift = -mean * scale
        return scale, shift if self.shift is None else shift + self.shift, log_scale

    def forward(self, x, context=None):
        check_channels(x, self.channels, "MovingBatchNorm")
        x = at_least_float32(x)
        mean, var = self._train_statistics(x) if self.training else (self.running_mean, self.running_var)
        scale, shift, log_scale = self._scale_and_shift(mean, var)
        shape = (1, -1, *[1] * (x.ndim - 2))
        return x * scale.view(shape) + shift.view(shape), (positions(x) * log_scale.sum()).expand(x.shape[0])

    def inverse(self, z, context=None):
        check_channels(z, self.channels, "MovingBatchNorm")
        if self.training:
            raise RuntimeError("MovingBatchNorm cannot decode in training mode: call eval() on the flow first")
        z = at_least_float32(z)
        scale, shift, log_scale = self._scale_and_shift(self.running_mean, self.running_var)
        shape = (1, -1, *[1] * (z.ndim - 2))
        return (z - shift.view(shape)) / scale.view(shape), (-positions(z) * log_scale.sum()).expand(z.shape[0])

"""RealNVP's couplings: affine or additive, batch norm on what they change (Dinh et al. 2017, arXiv 1605.08803)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.layers.coupling import Coupling, MaskedCoupling, checkerboard
from flowsuite.core.layers.elementwise import ElementwiseMap
from flowsuite.core.layers.moments import MovingMoments, batch_moments
from flowsuite.core.nets.resnet import ResNet, ShiftBatchNorm2d
from flowsuite.core.numerics import at_least_float32, autocast_off, sum_over_event


class CouplingNet(nn.Module):
    """Conditioner (B, C, H, W) -> (B, out, H, W): batch norm, concat `[v, -v]`, ReLU, `ResNet`.

    Args:
        channels: C.
        out_channels: parameters wanted, shift first.
        mask: (1, H, W) plane that the net also sees; what it conditions on is then doubled after batch norm, which
            makes up for the half of the entries that are zero.
        batch_norm, lag, and the others: as for `ResNet`.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        mask: Tensor | None = None,
        batch_norm: bool = True,
        lag: float = 0.0,
        **resnet,
    ):
        super().__init__()
        self.norm_in = ShiftBatchNorm2d(channels, lag=lag) if batch_norm else None
        mask = None if mask is None else mask.to(torch.get_default_dtype())
        self.register_buffer("mask", mask, persistent=False)
        planes = 2 * channels + (mask is not None)
        self.resnet = ResNet(planes, out_channels=out_channels, batch_norm=batch_norm, lag=lag, **resnet)

    def forward(self, v: Tensor) -> Tensor:
        if self.norm_in is not None:
            v = self.norm_in(v)
            if self.mask is not None:
                v = 2 * v
        planes = [v, -v]
        if self.mask is not None:
            planes.append(self.mask.to(v.dtype).expand(v.shape[0], -1, -1, -1))
        return self.resnet(F.relu(torch.cat(planes, dim=1)))


class OutputNorm(MovingMoments):
    """Batch norm as a layer of a flow: `z = (y - mean) / sqrt(var + eps)` per channel, over the entries not masked.

    log-det: `-positions * sum(log(var + eps)) / 2`. In training, mean and variance are the batch's, and `ladj` holds
    them fixed; the inverse exists with the running averages only. As in the published code, the statistics of a masked
    tensor count its masked entries, as zeros.

    Args:
        channels: size of axis 1.
        moved: (1, H, W), 1 on the entries to normalise; None for all.
        eps, lag: added to the variance; see `MovingMoments`.
    """

    def __init__(self, channels: int, moved: Tensor | None = None, eps: float = 1e-4, lag: float = 0.0):
        super().__init__(channels, lag=lag)
        self.eps = eps
        moved = None if moved is None else moved.to(torch.get_default_dtype())
        self.register_buffer("moved", moved, persistent=False)
        self.positions = None if moved is None else int(moved.sum())

    def _affine(self, mean: Tensor, var: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and scale (1, C, 1, 1), and `ladj` (B,)."""
        var = var + self.eps
        positions = y[0, 0].numel() if self.positions is None else self.positions
        ladj = (-0.5 * positions * var.log().sum()).expand(y.shape[0])
        return mean.view(1, -1, 1, 1), var.rsqrt().view(1, -1, 1, 1), ladj

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W), zero where masked, to `(z, ladj)`; what is masked stays zero."""
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = self.blend(*batch_moments(y))
        mean, scale, ladj = self._affine(mean, var, y)
        z = (y - mean) * scale
        return (z if self.moved is None else self.moved * z), ladj

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        if self.training:
            raise RuntimeError(
                "RealNVP with batch norm decodes with running averages, which needs evaluation mode: call .eval() first"
            )
        mean, scale, ladj = self._affine(self.running_mean, self.running_var, z)
        y = z / scale + mean
        return (y if self.moved is None else self.moved * y), -ladj


class ChannelCoupling(Coupling):
    """`a` passes, `b <- norm(map(b; net(a)))` over the two halves of the channels.

    Args:
        channels: of the whole input, even.
        map: `Affine` or `Additive`, whose parameters the net gives for every channel of `b`.
        swap: the first half moves, not the second.
        batch_norm, lag: normalise `b` after the map, and inside the net; see `MovingMoments` for `lag`.
        resnet: further arguments of `ResNet`.
    """

    def __init__(self, channels: int, map: ElementwiseMap, swap: bool, batch_norm: bool, lag: float, **resnet):
        if channels % 2:
            raise ValueError(f"ChannelCoupling needs an even number of channels, got {channels}")
        half = channels // 2
        net = CouplingNet(half, half * map.n_params, batch_norm=batch_norm, lag=lag, **resnet)
        super().__init__(net, map, swap)
        self.norm = OutputNorm(half, lag=lag) if batch_norm else None

    def forward(self, x, context=None):
        if self.norm is None:
            return super().forward(x, context)
        a, b = self._split(at_least_float32(x))
        params = self.params(a, context)
        with autocast_off(x):
            b, log_derivative = self.map(b, params)
            b, ladj = self.norm(b)
            return self._merge(a, b), ladj + self._ladj(log_derivative, x)

    def inverse(self, z, context=None):
        if self.norm is None:
            return super().inverse(z, context)
        a, b = self._split(at_least_float32(z))
        b, ladj = self.norm.inverse(b)
        params = self.params(a, context)
        with autocast_off(z):
            b, log_derivative = self.map.inverse(b, params)
            return self._merge(a, b), ladj + self._ladj(log_derivative, z)

    def replay(self, z, context=None):
        return super().replay(z, context) if self.norm is None else super(Coupling, self).replay(z, context)


class CheckerboardCoupling(MaskedCoupling):
    """`x <- b x + (1 - b) norm(map(x; net(b x)))` with `b` the squares of one colour of a checkerboard.

    Args:
        shape: (C, H, W).
        map: `Affine` or `Additive`.
        parity: `b[h, w] = (parity + h + w) mod 2`.
        batch_norm, lag, resnet: as for `ChannelCoupling`.
    """

    def __init__(
        self, shape: tuple[int, int, int], map: ElementwiseMap, parity: int, batch_norm: bool, lag: float, **resnet
    ):
        channels, height, width = shape
        mask = checkerboard(height, width, parity)
        net = CouplingNet(channels, channels * map.n_params, mask, batch_norm, lag, **resnet)
        super().__init__(mask, net, map)
        self.register_buffer("mask", self.mask, persistent=False)  # follows from the shape: not a checkpoint's business
        self.norm = OutputNorm(channels, 1 - mask, lag=lag) if batch_norm else None

    def forward(self, x, context=None):
        if self.norm is None:
            return super().forward(x, context)
        kept, moved = self.mask * at_least_float32(x), 1 - self.mask
        params = self.params(kept, context)
        with autocast_off(x):
            y, log_derivative = self.map(x, params)
            z, ladj = self.norm(moved * y)
            if log_derivative is not None:
                ladj = ladj + sum_over_event(moved * log_derivative)
            return kept + z, ladj

    def inverse(self, z, context=None):
        if self.norm is None:
            return super().inverse(z, context)
        kept, moved = self.mask * at_least_float32(z), 1 - self.mask
        y, ladj = self.norm.inverse(moved * z)
        params = self.params(kept, context)
        with autocast_off(z):
            x, log_derivative = self.map.inverse(y, params)
            if log_derivative is not None:
                ladj = ladj + sum_over_event(moved * log_derivative)
            return kept + moved * x, ladj

"""One flow of WaveFlow: an affine map of every row, given the rows above it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from flowsuite.audio.conditioning import Conditioning, as_conditioning
from flowsuite.audio.row_net import RowNet
from flowsuite.audio.row_sampler import RowSampler
from flowsuite.core.cache import ParameterCache
from flowsuite.core.numerics import at_least_float32, autocast_off, sum_over_event
from flowsuite.core.transform import Transform


class RowAutoregressive(Transform):
    """`z[0] = x[0]`, `z[i] = x[i] * exp(log_s[i]) + t[i]` for rows i >= 1; log-det `sum(log_s)` (arXiv 1912.01219).

    `(log_s, t)[i]` come from `RowNet` of the rows above, for all columns at once: one pass forwards, one step per row
    backwards. Where clips end, `log_s = t = 0`. Tensors are (B, height, width); the context is a `Conditioning`, of
    which the flow takes the rows in its own order.

    Args:
        net: the network.
        order: the row of the squeezed waveform that is row i here, (height,): the permutations before this flow.
        recompute: keep only this flow's input for the backward pass and compute the rest again.
    """

    def __init__(self, net: RowNet, order: Tensor, recompute: bool = False):
        super().__init__()
        order = torch.as_tensor(order)
        if len(order) < 2:
            raise ValueError(f"a row-autoregressive flow needs a height of at least 2, got {len(order)}")
        net.check_height(len(order))
        self.net, self.recompute = net, recompute
        self.register_buffer("order", order, persistent=False)
        self.cache = ParameterCache()

    def _ordered(self, x: Tensor, context: Conditioning) -> tuple[Tensor, Tensor | None]:
        """The conditioner's rows (B, n_mels, height, width) and the mask (B, height, width), in this flow's order."""
        height, context = len(self.order), as_conditioning(context, "a row-autoregressive flow")
        if x.ndim != 3 or x.shape[1] != height:
            raise ValueError(f"expected a waveform squeezed to (B, {height}, width), got {tuple(x.shape)}")
        if context.mel.shape[2:] != x.shape[1:]:
            raise ValueError(f"expected a conditioner of {tuple(x.shape[1:])}, got {tuple(context.mel.shape[2:])}")
        valid = None if context.valid is None else context.valid[:, self.order]
        return context.mel.transpose(1, 2)[:, self.order].transpose(1, 2), valid

    def affine(self, x: Tensor, context: Conditioning) -> tuple[Tensor, Tensor]:
        """`(log_s, t)` of rows 1..height-1, (B, height - 1, width) each."""
        mel, valid = self._ordered(x, context)
        return self._affine(x[:, :-1], mel[:, :, 1:], valid)

    def _affine(self, above: Tensor, mel: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        if valid is None:
            return self.net(above, mel)
        columns = valid.any(1)[:, None, None].to(above.dtype)
        log_s, t = self.net(above, mel, columns)
        there = valid[:, 1 : log_s.shape[1] + 1]
        return log_s * there, t * there

    def forward(self, x, context=None):
        x = at_least_float32(x)
        if self.recompute and torch.is_grad_enabled():
            log_s, t = checkpoint(self.affine, x, context, use_reentrant=False)
        else:
            log_s, t = self.affine(x, context)
        with autocast_off(x):
            z = torch.cat((x[:, :1], x[:, 1:] * log_s.exp() + t), dim=1)
            return z, sum_over_event(log_s)

    def inverse(self, z, context=None):
        """Cached (`RowSampler`) under `torch.no_grad`; where autograd records, differentiable and far slower."""
        if torch.is_grad_enabled():
            return self.naive_inverse(z, context)
        return self._cached_inverse(z, context)

    def generate(self, z, context=None):
        return self.inverse(z, context)[0]

    def _cached_inverse(self, z: Tensor, context: Conditioning) -> tuple[Tensor, Tensor]:
        mel, valid = self._ordered(z, context)
        device = z.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        with autocast_off(z):
            return self.sampler(dtype)(at_least_float32(z), mel, valid)

    def sampler(self, dtype: torch.dtype | None = None) -> RowSampler:
        """The present weights ready for synthesis, with a network in `dtype`; None: in that of the weights."""
        return self.cache.get(f"sampler {dtype}", self.net.parameters(), lambda: RowSampler(self.net, dtype))

    def naive_inverse(self, z: Tensor, context: Conditioning) -> tuple[Tensor, Tensor]:
        """The inverse without a cache: for every row the network once more over all rows above. Differentiable."""
        mel, valid = self._ordered(z, context)
        z = at_least_float32(z)
        rows, ladj = [z[:, 0]], 0.0
        for i in range(1, z.shape[1]):
            log_s, t = self._affine(torch.stack(rows, dim=1), mel[:, :, 1 : i + 1], valid)
            log_s, t = log_s[:, -1], t[:, -1]
            rows.append((z[:, i] - t) * (-log_s).exp())
            ladj = ladj - sum_over_event(log_s)
        return torch.stack(rows, dim=1), ladj

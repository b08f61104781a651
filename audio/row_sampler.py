"""Row by row through a `RowNet`, with what it computed for the rows above kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from flowsuite.audio.packed_columns import PackedColumns
from flowsuite.audio.row_net import RowNet


class State(NamedTuple):
    """Of a row on its way through the layers.

    Attributes:
        new: what enters the next layer's convolution, (channels, columns); None after the last layer.
        hidden: the running sum of the residuals, without their biases, (C, columns).
        total: the running sum of (log s, t), (2, columns).
    """

    new: Tensor | None
    hidden: Tensor
    total: Tensor


def gated_layer(
    state: State,
    a: Tensor,
    windows: list[Tensor],
    taps: list[Tensor],
    after: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
) -> State:
    """One layer for one row: the products of three shifted `windows` with their `taps` and the gate, then `after`.

    `a` (2C, columns) is the conditioner's part, which is overwritten. The sums are in the precision of the waveform
    whatever that of the products. `bias` belongs to `hidden`; None marks the last layer.
    """
    for weight, window in zip(taps, windows, strict=True):
        a.addmm_(weight, window)
    first, second = a.sigmoid_().chunk(2)
    y = after @ (first * second).sub_(second, alpha=0.5)
    total = state.total + y[-2:]
    if bias is None:
        return State(None, state.hidden, total)
    hidden = state.hidden + y[:-2]
    new = hidden + bias
    return State(new if mask is None else new * mask, hidden, total)


class RowSampler:
    """The inverse of a row-autoregressive flow at the cost of one forward pass.

    The convolution of every layer sees three rows, `d` apart. They are kept in rings of three slots, one ring for each
    residue of the row number modulo `d`, as channels of one matrix (3C, columns): a step is then a product with three
    shifted views of it, one for each column tap, and a new row overwrites the oldest slot. The weights, normalised and
    multiplied out once (`RowNet.weights`), are kept for each of the three places that the newest slot can have.

    Clips of a batch lie side by side (`PackedColumns`). Skip sums, log-scales and the waveform are in the waveform's
    precision, the network in `dtype`.

    Args:
        net: the network; its present weights are taken.
        dtype: of the network's arithmetic, by default that of its weights.
    """

    def __init__(self, net: RowNet, dtype: torch.dtype | None = None):
        weights = net.weights()
        dtype = weights.front.dtype if dtype is None else dtype
        self.dtype, self.channels, self.dilations, self.bounded = dtype, net.channels, net.dilations, net.bounded
        self.front = weights.front
        # tanh(u) sigmoid(v) = 2 (sigmoid(2u) - 1/2) sigmoid(v): both factors of two go into the weights.
        double = torch.ones_like(weights.condition_bias).unflatten(0, (-1, 2, net.channels))
        double[:, 0] = 2
        per_output = double.view(-1, 1)
        self.condition = (per_output * weights.condition).to(dtype)
        self.condition_bias = (per_output * weights.condition_bias.unsqueeze(1)).to(dtype)
        kernels = (double[0].view(-1, 1, 1, 1) * kernel for kernel in (weights.first, *weights.convs))
        self.taps = [ring_taps(kernel.to(dtype)) for kernel in kernels]
        self.after = [2 * after.to(dtype) for after in weights.after]
        zero = torch.zeros_like(weights.front[:, 0])
        biases = torch.stack([zero, *weights.residual_biases]).cumsum(0).unsqueeze(-1)
        self.residual_biases = list(biases[1:])  # after each layer but the last, with all those before
        self.out_bias = weights.out_bias.unsqueeze(-1)

    def __call__(self, z: Tensor, mel: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(x, ladj)` of z (B, height, width), mel (B, n_mels, height, width) and the mask (B, height, width)."""
        batch, height, width = z.shape
        columns = PackedColumns(valid, batch, width, gap=self.gap)
        z, mel = columns.pack(z), columns.pack(mel.to(self.dtype))
        mask = columns.mask(z)
        there = None if mask is None else mask.expand(height, -1)
        if valid is not None:
            there = columns.pack(valid.to(z.dtype))
        x, log_scales = self.rows(z.unbind(), mel.unbind(1), None if there is None else there.unbind(), mask)
        ladj = -columns.unpack(torch.stack(log_scales)).sum((1, 2))
        return columns.unpack(torch.stack(x)), ladj

    @property
    def gap(self) -> int:
        """Columns between clips, and at either end, that keep them apart."""
        return self.dilations[-1][1]

    def rows(
        self,
        z: Sequence[Tensor],
        mel: Sequence[Tensor],
        there: Sequence[Tensor] | None,
        mask: Tensor | None,
        layer: Callable[..., State] = gated_layer,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The rows of x and the log-scales of all but the first; nothing here depends on what the numbers are.

        Args:
            z: `height` rows (columns,).
            mel: as many (n_mels, columns), in `dtype`.
            there: as many (columns,), 1 where a sample is and 0 elsewhere; None for all ones.
            mask: (columns,), 1 where a clip has a column; None for all ones.
            layer: `gated_layer`, or a compilation of it.
        """
        rings = self._rings(z[0])
        x, log_scales = [z[0]], []
        for row in range(len(z) - 1):
            log_s, t = self._step(row, x[-1], mel[row + 1], rings, mask, layer)
            if there is not None:
                log_s, t = log_s * there[row + 1], t * there[row + 1]
            x.append((z[row + 1] - t) * (-log_s).exp())
            log_scales.append(log_s)
        return x, log_scales

    def _rings(self, row: Tensor) -> list[Tensor]:
        """Per layer (dilation over rows, 3 * channels in, columns with `gap` more on either side), all zeros."""
        inputs = [2] + [self.channels] * (len(self.taps) - 1)
        return [
            torch.zeros(d, 3 * n, len(row) + 2 * self.gap, dtype=self.dtype, device=row.device)
            for n, (d, _) in zip(inputs, self.dilations, strict=True)
        ]

    def _step(
        self,
        row: int,
        x: Tensor,
        mel: Tensor,
        rings: list[Tensor],
        mask: Tensor | None,
        layer: Callable[..., State],
    ) -> tuple[Tensor, Tensor]:
        """`(log_s, t)` (columns,) of row `row + 1`, from row `row` and the rings, which it goes into."""
        image = torch.stack((x, torch.ones_like(x) if mask is None else mask))
        state = State(image, self.front @ image, self.out_bias)
        pre = torch.addmm(self.condition_bias, self.condition, mel).split(2 * self.channels)
        for index, (over_rows, reach) in enumerate(self.dilations):
            ring, turn = rings[index][row % over_rows], row // over_rows % 3
            size, width = len(state.new), len(x)
            ring[turn * size : (turn + 1) * size, self.gap : self.gap + width].copy_(state.new)
            windows = [ring[:, self.gap + shift : self.gap + shift + width] for shift in (-reach, 0, reach)]
            bias = self.residual_biases[index] if index < len(self.residual_biases) else None
            state = layer(state, pre[index], windows, self.taps[index][turn], self.after[index], bias, mask)
        log_s, t = state.total
        return self.bounded(log_s), t


def ring_taps(kernel: Tensor) -> list[list[Tensor]]:
    """The weights (out, 3 * in) for every place `turn` of the newest slot and every column tap.

    `kernel` is (out, in, 3, 3) with its rows from the oldest to the newest; the slot `turn - k` modulo 3 holds the k-th
    row before the newest.
    """
    taps = []
    for turn in range(3):
        rows = [2 - (turn - slot) % 3 for slot in range(3)]
        by_slot = kernel[:, :, rows].transpose(1, 2).flatten(1, 2)  # (out, 3 * in, 3)
        taps.append([by_slot[..., tap].contiguous() for tap in range(3)])
    return taps

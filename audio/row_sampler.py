"""Row by row through a `RowNet`, with what it computed for the rows above kept."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.audio.packed_columns import PackedColumns
from flowsuite.audio.row_net import RowNet


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
        self.residual_biases = torch.stack([zero, *weights.residual_biases]).cumsum(0).unsqueeze(-1)
        self.out_bias = weights.out_bias.unsqueeze(-1)

    def __call__(self, z: Tensor, mel: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(x, ladj)` of z (B, height, width), mel (B, n_mels, height, width) and the mask (B, height, width)."""
        batch, height, width = z.shape
        columns = PackedColumns(valid, batch, width, gap=self.dilations[-1][1])
        z, mel = columns.pack(z), columns.pack(mel.to(self.dtype))
        there = columns.pack(valid.to(z.dtype)) if valid is not None else None
        rings = self._rings(z)
        mask = columns.mask(z)
        x, log_scales = [z[0]], []
        for row in range(height - 1):
            log_s, t = self._step(row, x[-1], mel[:, row + 1], rings, mask)
            if there is not None:
                log_s, t = log_s * there[row + 1], t * there[row + 1]
            elif mask is not None:
                log_s, t = log_s * mask, t * mask
            x.append((z[row + 1] - t) * (-log_s).exp())
            log_scales.append(log_s)
        ladj = -columns.unpack(torch.stack(log_scales)).sum((1, 2))
        return columns.unpack(torch.stack(x)), ladj

    def _rings(self, z: Tensor) -> list[Tensor]:
        """Per layer (dilation over rows, 3 * channels in, columns with the convolution's padding), all zeros."""
        inputs = [2] + [self.channels] * (len(self.taps) - 1)
        return [
            torch.zeros(d, 3 * n, z.shape[1] + 2 * reach, dtype=self.dtype, device=z.device)
            for n, (d, reach) in zip(inputs, self.dilations, strict=True)
        ]

    def _step(
        self, row: int, x: Tensor, mel: Tensor, rings: list[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """`(log_s, t)` (columns,) of row `row + 1`, from row `row` and the rings, which it goes into."""
        image = torch.stack((x, torch.ones_like(x) if mask is None else mask))
        hidden = self.front @ image
        pre = torch.addmm(self.condition_bias, self.condition, mel).split(2 * self.channels)
        total = self.out_bias
        for layer, (over_rows, reach) in enumerate(self.dilations):
            ring, turn = rings[layer][row % over_rows], row // over_rows % 3
            new = image if layer == 0 else hidden + self.residual_biases[layer]
            size = len(new)
            slot = ring[turn * size : (turn + 1) * size, reach : reach + len(x)]
            slot.copy_(new if mask is None else new * mask)
            a = pre[layer]
            for tap, weight in enumerate(self.taps[layer][turn]):
                a.addmm_(weight, ring[:, tap * reach : tap * reach + len(x)])
            first, second = a.sigmoid_().chunk(2)
            y = self.after[layer] @ (first * second).sub_(second, alpha=0.5)
            total = total + y[-2:]
            if len(y) > 2:
                hidden += y[:-2]
        log_s, t = total
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

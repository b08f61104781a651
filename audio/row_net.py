"""The network of WaveFlow: a dilated WaveNet over rows and columns, causal over rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from flowsuite.audio.gate import gate
from flowsuite.audio.normed_conv import NormedConv2d
from flowsuite.audio.row_conv import row_conv
from flowsuite.core.numerics import at_least_float32, autocast_off

HEIGHT_CYCLES = {16: 1, 32: 3, 64: 5, 128: 7}  # height up to which dilations 1, 2, ..., 2^(cycle - 1) repeat


def height_dilations(height: int, layers: int) -> list[int]:
    """The published dilations over rows: all 1 up to height 16, then cycles of powers of two (arXiv 1912.01219)."""
    cycle = next((c for limit, c in HEIGHT_CYCLES.items() if height <= limit), 7)
    return [2 ** (layer % cycle) for layer in range(layers)]


class RowWeights(NamedTuple):
    """What `RowNet` computes with, every weight normalised and everything linear multiplied out.

    Attributes, with C channels, L layers, M bands:
        front: (C, 2), the first 1x1 convolution as a map of (x, 1).
        first: (2C, 2, 3, 3), the first layer's convolution after it: of (x, 1) too, so that 1 stops at the border.
        convs: (2C, C, 3, 3) of every other layer.
        condition: (L * 2C, M) and its bias (L * 2C,), the layers' own biases included.
        after: per layer the map (C + 2, C) of the gate's output to the residual and to (log s, t); (2, C) for the last.
        residual_biases: (C,) of every layer but the last.
        out_bias: (2,).
    """

    front: Tensor
    first: Tensor
    convs: list[Tensor]
    condition: Tensor
    condition_bias: Tensor
    after: list[Tensor]
    residual_biases: list[Tensor]
    out_bias: Tensor


def pointwise(weight: Tensor, x: Tensor) -> Tensor:
    """A 1x1 convolution as matrix products: (O, C), (B, R, C, W) -> (B, R, O, W)."""
    return torch.bmm(weight.expand(x.shape[0] * x.shape[1], -1, -1), x.flatten(0, 1)).unflatten(0, x.shape[:2])


class RowNet(nn.Module):
    """(log s, t) of row i from rows 0..i-1 of the waveform and row i of the spectrogram (arXiv 1912.01219).

    `H = front(x)`; for every layer `a = conv3x3(H) + condition(mel)`, `g = tanh(a[:C]) sigmoid(a[C:])`,
    `H <- H + residual(g)`, `S <- S + skip(g)`; `(log s, t) = out(S)`. The convolutions are dilated, zero-padded above
    (over rows) and on both sides (over columns), and weight-normed except `out`, which is zero at first: an identity
    flow. There is nothing between `S` and `out`, so `S` is never formed: `out` is multiplied into every `skip`.

    Args:
        channels: C.
        dilations: over rows, one per layer; over columns layer l has 2^l.
        n_mels: bands of the conditioner.
        scale_bound: keep `|log s|` below this by `bound * tanh(log s / bound)`; None for none, as published.
    """

    def __init__(self, channels: int, dilations: Sequence[int], n_mels: int = 80, scale_bound: float | None = None):
        super().__init__()
        layers = len(dilations)
        if channels < 1 or layers < 1 or min(dilations) < 1 or n_mels < 1:
            raise ValueError(f"expected channels, n_mels, dilations >= 1, got {channels}, {n_mels}, {list(dilations)}")
        if scale_bound is not None and scale_bound <= 0:
            raise ValueError(f"scale_bound must be positive, got {scale_bound}")
        self.channels, self.n_mels, self.scale_bound = channels, n_mels, scale_bound
        self.dilations = [(d, 2**layer) for layer, d in enumerate(dilations)]
        self.front = NormedConv2d(1, channels, 1)
        self.convs = nn.ModuleList(NormedConv2d(channels, 2 * channels, 3) for _ in dilations)
        self.condition = NormedConv2d(n_mels, 2 * channels * layers, 1)
        self.residuals = nn.ModuleList(NormedConv2d(channels, channels, 1) for _ in dilations[1:])
        self.skips = nn.ModuleList(NormedConv2d(channels, channels, 1) for _ in dilations)
        self.out = nn.Conv2d(channels, 2, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    @property
    def receptive_rows(self) -> int:
        """Rows above that can reach an output: `1 + 2 * sum of the dilations`."""
        return 1 + 2 * sum(d for d, _ in self.dilations)

    def check_height(self, height: int) -> None:
        """Warns when the first of `height` rows cannot reach the last one, `height - 1` below it."""
        if self.receptive_rows < height - 1:
            warnings.warn(
                f"the dilations {[d for d, _ in self.dilations]} reach {self.receptive_rows} rows, fewer than the "
                f"{height - 1} above the last one: it cannot see the first",
                stacklevel=3,
            )

    def weights(self) -> RowWeights:
        """Everything that depends on the parameters alone, in their precision also under autocast."""
        with autocast_off(self.out.weight):
            return self._weights()

    def _weights(self) -> RowWeights:
        front = torch.cat((self.front.normed.flatten(1), self.front.bias[:, None]), dim=1)
        kernels = [conv.normed for conv in self.convs]
        bias = torch.cat([conv.bias for conv in self.convs]) + self.condition.bias
        out = self.out.weight.flatten(1)
        skips = [out @ skip.normed.flatten(1) for skip in self.skips]
        residuals = [residual.normed.flatten(1) for residual in self.residuals]
        return RowWeights(
            front,
            torch.einsum("ocij,cx->oxij", kernels[0], front),
            kernels[1:],
            self.condition.normed.flatten(1),
            bias,
            [torch.cat(pair) for pair in zip(residuals, skips[:-1], strict=True)] + skips[-1:],
            [residual.bias for residual in self.residuals],
            self.out.bias + out @ sum(skip.bias for skip in self.skips),
        )

    def bounded(self, log_s: Tensor) -> Tensor:
        return log_s if self.scale_bound is None else self.scale_bound * torch.tanh(log_s / self.scale_bound)

    def forward(self, rows: Tensor, mel: Tensor, columns: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`(log s, t)`, (B, R, W) each, in float32 or better.

        Args:
            rows: (B, R, W), the waveform's rows 0..R-1.
            mel: (B, n_mels, R, W), the spectrogram's rows 1..R.
            columns: (B, 1, 1, W), 1 where a clip has samples and 0 behind its end; None for all ones.
        """
        if mel.shape[1] != self.n_mels:
            raise ValueError(f"expected mel spectrograms of {self.n_mels} bands, got {mel.shape[1]}")
        weights = self.weights()
        x = rows.unsqueeze(2)
        ones = torch.ones_like(x) if columns is None else columns.expand_as(x).to(x.dtype)
        image = torch.cat((x, ones), dim=2)
        hidden = pointwise(weights.front, image)
        condition = pointwise(weights.condition, mel.transpose(1, 2)) + weights.condition_bias.unsqueeze(-1)
        conditions = condition.chunk(len(self.convs), dim=2)
        a = row_conv(image, weights.first, self.dilations[0])
        total: Tensor | float = 0.0
        for layer, after in enumerate(weights.after):
            if layer:
                a = row_conv(hidden, weights.convs[layer - 1], self.dilations[layer])
            y = pointwise(after, gate(a + conditions[layer]))
            total = total + at_least_float32(y[:, :, -2:])
            if layer < len(weights.residual_biases):
                hidden = hidden + y[:, :, :-2] + weights.residual_biases[layer].unsqueeze(-1)
                hidden = hidden if columns is None else hidden * columns
        log_s, t = (total + weights.out_bias.unsqueeze(-1)).unbind(2)
        return self.bounded(log_s), t

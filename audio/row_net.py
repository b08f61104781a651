"""The network of WaveFlow: a dilated WaveNet over rows and columns, causal over rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from flowsuite.audio.dilated_conv import dilated_conv2d
from flowsuite.audio.gate import gate
from flowsuite.core.numerics import at_least_float32

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
    """A 1x1 convolution as one matrix product: (O, C), (B, C, H, W) -> (B, O, H, W)."""
    return torch.bmm(weight.expand(len(x), -1, -1), x.flatten(2)).unflatten(2, x.shape[2:])


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
        self.front = weight_norm(nn.Conv2d(1, channels, 1))
        self.convs = nn.ModuleList(weight_norm(nn.Conv2d(channels, 2 * channels, 3)) for _ in dilations)
        self.condition = weight_norm(nn.Conv2d(n_mels, 2 * channels * layers, 1))
        self.residuals = nn.ModuleList(weight_norm(nn.Conv2d(channels, channels, 1)) for _ in dilations[1:])
        self.skips = nn.ModuleList(weight_norm(nn.Conv2d(channels, channels, 1)) for _ in dilations)
        self.out = nn.Conv2d(channels, 2, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    @property
    def receptive_rows(self) -> int:
        """Rows above that reach an output: `1 + 2 * sum of the dilations`."""
        return 1 + 2 * sum(d for d, _ in self.dilations)

    def check_height(self, height: int) -> None:
        """Warns when the first rows cannot reach the last ones."""
        if self.receptive_rows < height:
            warnings.warn(
                f"the dilations {[d for d, _ in self.dilations]} reach {self.receptive_rows} rows, fewer than the "
                f"height {height}: early rows are invisible to the last ones",
                stacklevel=3,
            )

    def weights(self) -> RowWeights:
        """Everything that depends on the parameters alone."""
        front = torch.cat((self.front.weight.flatten(1), self.front.bias[:, None]), dim=1)
        kernels = [conv.weight for conv in self.convs]
        bias = torch.cat([conv.bias for conv in self.convs]) + self.condition.bias
        out = self.out.weight.flatten(1)
        skips = [out @ skip.weight.flatten(1) for skip in self.skips]
        residuals = [residual.weight.flatten(1) for residual in self.residuals]
        return RowWeights(
            front,
            torch.einsum("ocij,cx->oxij", kernels[0], front),
            kernels[1:],
            self.condition.weight.flatten(1),
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
        x = rows.unsqueeze(1)
        ones = torch.ones_like(x) if columns is None else columns.expand_as(x).to(x.dtype)
        image = torch.cat((x, ones), dim=1)
        hidden = pointwise(weights.front, image)
        condition = (pointwise(weights.condition, mel) + weights.condition_bias.view(-1, 1, 1)).chunk(len(self.convs), 1)
        a = dilated_conv2d(self._padded(image, 0), weights.first, self.dilations[0])
        total: Tensor | float = 0.0
        for layer, after in enumerate(weights.after):
            if layer:
                a = dilated_conv2d(self._padded(hidden, layer), weights.convs[layer - 1], self.dilations[layer])
            y = pointwise(after, gate(a.add_(condition[layer])))
            total = total + at_least_float32(y[:, -2:])
            if layer < len(weights.residual_biases):
                hidden = hidden + y[:, :-2] + weights.residual_biases[layer].view(-1, 1, 1)
                hidden = hidden if columns is None else hidden * columns
        log_s, t = (total + weights.out_bias.view(-1, 1, 1)).unbind(1)
        return self.bounded(log_s), t

    def _padded(self, image: Tensor, layer: int) -> Tensor:
        over_rows, over_columns = self.dilations[layer]
        return F.pad(image, (over_columns, over_columns, 2 * over_rows, 0))

"""The coupling network of WaveGlow: a dilated one-dimensional WaveNet, not causal."""

from __future__ import annotations

from torch import Tensor, nn

from flowsuite.audio.conditioning import Conditioning
from flowsuite.audio.gate import gate
from flowsuite.audio.normed_conv import NormedConv1d
from flowsuite.core.numerics import at_least_float32


class WaveNet(nn.Module):
    """From half of the rows to shift and log-scale of the other half (WaveGlow, arXiv 1811.00002, section 2.2).

    Layer l is a convolution with dilation 2^l over columns plus a 1x1 map of the squeezed spectrogram,
    `tanh * sigmoid` gate, residual and skip; all weight-normed but the last map, which is zero at first.

    Args:
        in_rows: rows that condition; out_rows: rows that are mapped.
        condition_channels: n_mels times height.
        channels: hidden channels.
        n_layers: layers.
        kernel_size: taps of every layer, odd.
    """

    def __init__(
        self,
        in_rows: int,
        out_rows: int,
        condition_channels: int,
        channels: int = 256,
        n_layers: int = 8,
        kernel_size: int = 3,
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        reach = kernel_size // 2
        self.channels = channels
        self.start = NormedConv1d(in_rows, channels, 1)
        self.condition = NormedConv1d(condition_channels, 2 * channels * n_layers, 1)
        self.convs = nn.ModuleList(
            NormedConv1d(channels, 2 * channels, kernel_size, dilation=2**layer, padding=reach * 2**layer)
            for layer in range(n_layers)
        )
        self.residuals = nn.ModuleList(NormedConv1d(channels, channels, 1) for _ in range(n_layers - 1))
        self.skips = nn.ModuleList(NormedConv1d(channels, channels, 1) for _ in range(n_layers))
        self.out = nn.Conv1d(channels, 2 * out_rows, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, rows: Tensor, context: Conditioning) -> Tensor:
        """(B, in_rows, width) -> (B, 2 * out_rows, width), shifts first; zero where a clip has no column."""
        mask = None if context.valid is None else context.valid.any(1, keepdim=True).to(rows.dtype)
        hidden = self._masked(self.start(rows), mask)
        conditions = self.condition(context.mel.flatten(1, 2)).chunk(len(self.convs), dim=1)
        total: Tensor | float = 0.0
        for layer, (conv, skip) in enumerate(zip(self.convs, self.skips, strict=True)):
            g = gate(conv(hidden) + conditions[layer])
            total = total + at_least_float32(skip(g))
            if layer < len(self.residuals):
                hidden = self._masked(hidden + self.residuals[layer](g), mask)
        return self._masked(self.out(total), mask)

    @staticmethod
    def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
        return x if mask is None else x * mask

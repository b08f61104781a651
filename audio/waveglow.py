"""WaveGlow: a flow for speech with couplings and 1x1 convolutions (Prenger, Valle, Catanzaro; arXiv 1811.00002)."""

from __future__ import annotations

import torch
from torch import nn

from flowsuite.audio.conditioning import as_conditioning
from flowsuite.audio.upsample import TransposedUpsampler
from flowsuite.audio.vocoder import Standardize, Vocoder
from flowsuite.audio.wavenet import WaveNet
from flowsuite.core.layers.conv1x1 import InvertibleConv1x1
from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.layers.elementwise import Affine
from flowsuite.core.layers.scale import ExpScale, TanhScale
from flowsuite.core.transform import Compose, Transform


class MixedCoupling(Transform):
    """Rows 0..kept-1 pass; the others are mixed by a matrix W, and the second half of them is mapped given the first.

    log-det: `columns * log|det W| + sum(log_s)`, over the columns that a clip has.

    Args:
        kept: rows that have left as latents.
        mix: the 1x1 convolution of the other rows.
        coupling: takes them, and the context.
    """

    def __init__(self, kept: int, mix: InvertibleConv1x1, coupling: Coupling):
        super().__init__()
        self.kept, self.mix, self.coupling = kept, mix, coupling

    def _split(self, x, context):
        if x.ndim != 3 or x.shape[1] != self.kept + self.mix.channels:
            raise ValueError(f"expected (B, {self.kept + self.mix.channels}, width), got {tuple(x.shape)}")
        return x[:, : self.kept], x[:, self.kept :], as_conditioning(context, type(self).__name__)

    def _mix_ladj(self, ladj, width, context):
        """That of `mix`, which counted all columns, for the columns that exist."""
        if context.valid is None:
            return ladj
        return ladj / width * context.valid.any(1).sum(1)

    def forward(self, x, context=None):
        kept, moved, context = self._split(x, context)
        moved, of_mix = self.mix(moved)
        moved, ladj = self.coupling(moved, context)
        return self._joined(kept, moved), ladj + self._mix_ladj(of_mix, x.shape[2], context)

    def inverse(self, z, context=None):
        kept, moved, context = self._split(z, context)
        moved, ladj = self.coupling.inverse(moved, context)
        moved, of_mix = self.mix.inverse(moved)
        return self._joined(kept, moved), ladj + self._mix_ladj(of_mix, z.shape[2], context)

    @staticmethod
    def _joined(kept, moved):
        return torch.cat((kept, moved), dim=1)


class WaveGlow(Vocoder):
    """Twelve couplings over groups of 8 samples; before some of them two rows leave as latents.

    A clip counts up to its last full group: at most `height - 1` samples at the end have no density and decode to 0.

    Args:
        height: samples of a group.
        channels: hidden channels of the coupling networks: 512 in the paper, 256 in the released model.
        n_flows: number of couplings.
        n_layers: layers of each network.
        kernel_size: taps of these layers over columns, odd.
        n_mels: bands of the spectrogram.
        hop_length: samples per frame.
        upsample_kernel: taps of the upsampler's transposed convolution.
        early_every: before every so many couplings, except the first, rows leave.
        early_size: how many.
        scale_bound: bound of |log s| by `bound * tanh(log s / bound)`; None for none, as published.
        gain, mel_mean, mel_std: see `Standardize`; by default, as published, nothing is standardised.
    """

    def __init__(
        self,
        height: int = 8,
        channels: int = 256,
        n_flows: int = 12,
        n_layers: int = 8,
        n_mels: int = 80,
        hop_length: int = 256,
        upsample_kernel: int = 1024,
        early_every: int = 4,
        early_size: int = 2,
        kernel_size: int = 3,
        scale_bound: float | None = None,
        gain: float = 1.0,
        mel_mean: float = 0.0,
        mel_std: float = 1.0,
    ):
        if min(height, channels, n_flows, n_layers, n_mels, early_every) < 1 or early_size < 0:
            raise ValueError(
                "height, channels, n_flows, n_layers, n_mels, early_every >= 1 and early_size >= 0 expected"
            )
        layers: list[nn.Module] = []
        for k in range(n_flows):
            kept = k // early_every * early_size
            rows = height - kept
            if rows < 2:
                raise ValueError(f"no 2 of {height} rows are left for flow {k}: {kept} have left as latents")
            first = (rows + 1) // 2
            net = WaveNet(first, rows - first, n_mels * height, channels, n_layers, kernel_size)
            map = Affine(ExpScale() if scale_bound is None else TanhScale(scale_bound), shift_first=False)
            layers.append(MixedCoupling(kept, InvertibleConv1x1(rows), Coupling(net, map, conditional=True)))
        upsample = TransposedUpsampler(n_mels, hop_length, upsample_kernel)
        standardize = Standardize(gain, mel_mean, mel_std)
        super().__init__(Compose(layers), upsample, height, n_mels, True, standardize)

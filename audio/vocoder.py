"""What WaveFlow and WaveGlow share: a flow over squeezed waveforms, conditional on a mel spectrogram."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flowsuite.audio.conditioning import Conditioning, Mels, as_mels
from flowsuite.audio.execution import DEFAULT, Execution
from flowsuite.audio.squeeze import cut_behind, sample_mask, squeeze, unsqueeze
from flowsuite.core.distributions import StandardNormal
from flowsuite.core.flow import Flow
from flowsuite.core.numerics import at_least_float32, autocast_off, sum_over_event
from flowsuite.core.transform import Transform


@dataclass(frozen=True)
class Standardize:
    """Brings waveforms and spectrograms to a scale that networks start well from; by default they stay as they are.

    Speech has an RMS of about 0.1, natural-log mels are about -5.3 +- 2.1: a network hears the spectrogram fifty times
    louder than the waveform, and its first updates go into that. (So it is as published.) `x' = gain x`,
    `mel' = (mel - mean) / std`; the density stays that of x: `log p(x) = log p(x') + n log gain`.

    Attributes:
        gain: factor of the waveform, above 0.
        mean: of the log-mel spectrogram.
        std: of the log-mel spectrogram, above 0.
    """

    gain: float = 1.0
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self):
        if not (0 < self.gain < math.inf and 0 < self.std < math.inf and math.isfinite(self.mean)):
            got = f"{self.gain}, {self.std} and {self.mean}"
            raise ValueError(f"expected gain and std above 0 and a finite mean, got {got}")

    def mel(self, mel: Tensor) -> Tensor:
        return (mel - self.mean) / self.std


class Vocoder(Flow):
    """`log p(x | mel) = log N(z; 0, I) + log|det dz/dx|` of a waveform x (B, n), for any n >= 1.

    The waveform is squeezed to (B, height, ceil(n / height)), the spectrogram upsampled to a column per sample and
    squeezed likewise. What lies behind the end of a clip stays 0 in every layer and counts nowhere: a batch of unequal
    lengths gives each clip the density it has alone.

    Args:
        transform: of (B, height, width) with a `Conditioning` as context.
        upsample: (B, n_mels, frames) and the frames of each clip -> (B, n_mels, hop_length * frames), with attribute
            `hop_length`.
        height: rows of the squeezed waveform.
        n_mels: bands of the spectrogram.
        whole_columns: a clip counts only up to its last full column (a transform that mixes the rows of a column).
        standardize: `Standardize` the waveform and the spectrogram first; None leaves them as they are.
    """

    def __init__(
        self,
        transform: Transform,
        upsample: nn.Module,
        height: int,
        n_mels: int,
        whole_columns: bool = False,
        standardize: Standardize | None = None,
    ):
        super().__init__(transform, StandardNormal((height, 1)))
        self.standardize = standardize or Standardize()
        self.upsample = upsample
        self.height, self.n_mels, self.whole_columns = height, n_mels, whole_columns

    @property
    def hop_length(self) -> int:
        """Samples per frame of the spectrogram."""
        return self.upsample.hop_length

    def log_prob(self, x: Tensor, context: Tensor | Mels | None = None) -> Tensor:
        """Log-density in nats of each clip, (B,): sums over its samples, not means."""
        z, ladj, valid = self._encode(x, context)
        with autocast_off(z):
            density = self.base.elementwise_log_prob(z)
            return sum_over_event(density if valid is None else density * valid) + ladj

    def encode(self, x: Tensor, context: Tensor | Mels | None = None) -> Tensor:
        """The latent (B, height, width), 0 where no sample is."""
        return self._encode(x, context)[0]

    def decode(
        self, z: Tensor, context: Tensor | Mels | None = None, trim: int = 0, how: Execution = DEFAULT
    ) -> Tensor:
        """Waveforms (B, n) of latents (B, height, width); n is the longest of the lengths, or the spectrogram's length.

        Under `torch.no_grad`, unless gradients are wanted: WaveFlow's fast synthesis has none.

        Args:
            z: standard latents; those behind the end of a clip are ignored.
            context: the spectrograms; with lengths, clips are cut there and zero-padded.
            trim: samples dropped from the end of the upsampled spectrogram, 768 in public WaveGlow and WaveFlow code.
            how: precision of the networks, and what may make WaveFlow faster.
        """
        mels = as_mels(context, type(self).__name__)
        n = self._decoded_samples(mels, trim)
        return self.decode_under(z, self.condition(mels, n), n, how)

    def decode_under(self, z: Tensor, condition: Conditioning, n: int, how: Execution = DEFAULT) -> Tensor:
        """Waveforms (B, n) of latents (B, height, width) under a `condition` of that width."""
        expected = (len(condition.mel), *condition.mel.shape[2:])
        if tuple(z.shape) != expected:
            raise ValueError(f"expected latents of shape {expected}, got {tuple(z.shape)}")
        z = at_least_float32(z)
        valid = self._in_latent_order(condition.valid)
        z = z if valid is None else z.masked_fill(~valid, 0.0)
        return unsqueeze(self._generate(z, condition, how))[:, :n] / self.standardize.gain

    def _generate(self, z: Tensor, condition: Conditioning, how: Execution) -> Tensor:
        """The squeezed waveform (B, height, width) of latents that are 0 where no sample is."""
        with how.networks(z):
            return self.transform.generate(z, condition)

    @torch.no_grad()
    def sample(
        self,
        n: int | None = None,
        context: Tensor | Mels | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        trim: int = 0,
        how: Execution = DEFAULT,
    ) -> Tensor:
        """Waveforms (B, samples) of the spectrograms in `context`, one for each; `n` may repeat their number."""
        mels = as_mels(context, type(self).__name__)
        if not temperature >= 0:
            raise ValueError(f"expected a temperature >= 0, got {temperature}")
        if n is not None and n != len(mels.mel):
            raise ValueError(f"context must hold one spectrogram for each of the {n} samples, got {len(mels.mel)}")
        shape = self.latent_shape(mels, trim)
        anchor = self.base.anchor
        z = torch.randn(shape, generator=generator, device=anchor.device, dtype=anchor.dtype)
        return self.decode(temperature * z, mels, trim, how)

    def latent_shape(self, context: Tensor | Mels, trim: int = 0) -> tuple[int, int, int]:
        """(B, height, width) of the latent that stands for these spectrograms."""
        mels = as_mels(context, type(self).__name__)
        return len(mels.mel), self.height, -(-self._decoded_samples(mels, trim) // self.height)

    def _decoded_samples(self, mels: Mels, trim: int) -> int:
        n = self.hop_length * mels.mel.shape[2] - trim
        longest = n if mels.lengths is None else int(mels.lengths.max())
        if longest < 1 or longest > n:
            raise ValueError(
                f"{mels.mel.shape[2]} frames of {self.hop_length} samples{f' less {trim}' if trim else ''} cannot "
                f"condition clips of {longest} samples"
            )
        return longest

    def _encode(self, x: Tensor, context: Tensor | Mels | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """`(z, ladj, mask)`."""
        mels = as_mels(context, type(self).__name__)
        if x.ndim != 2 or len(x) != len(mels.mel):
            raise ValueError(f"expected {len(mels.mel)} waveforms (B, n), one per spectrogram, got {tuple(x.shape)}")
        if x.shape[1] < 1:
            raise ValueError("expected clips of at least 1 sample, got 0")
        condition = self.condition(mels, x.shape[1])
        rows = squeeze(at_least_float32(x) * self.standardize.gain, self.height).contiguous()
        count = x.shape[1]
        if condition.valid is not None:
            rows = rows.masked_fill(~condition.valid, 0.0)
            count = condition.valid.sum((1, 2)).to(rows.dtype)
        z, ladj = self.transform(rows, condition)
        return z, ladj + count * math.log(self.standardize.gain), self._in_latent_order(condition.valid)

    def _in_latent_order(self, valid: Tensor | None) -> Tensor | None:
        """The mask (B, height, width) of the latent's entries."""
        return valid

    def condition(self, context: Tensor | Mels, n: int, skip: int = 0) -> Conditioning:
        """The context of the layers for clips in n samples: upsampled, cut or zero-padded, squeezed.

        The clips begin `skip` samples after the spectrograms.
        """
        mels = as_mels(context, type(self).__name__)
        if mels.mel.shape[1] != self.n_mels:
            raise ValueError(f"expected spectrograms of {self.n_mels} bands, got {mels.mel.shape[1]}")
        up = self.upsample(self.standardize.mel(mels.mel), mels.frames)[..., skip:]
        if up.shape[2] < n:
            raise ValueError(
                f"{mels.mel.shape[2]} frames of {self.hop_length} samples cannot condition clips of {skip + n} samples"
            )
        up, lengths = up[..., :n], mels.lengths
        if lengths is None and n % self.height:
            lengths = torch.full((len(up),), n, device=up.device)
        if lengths is None:
            return Conditioning(self._squeezed(up))
        per_column = self.height if self.whole_columns else 1
        valid = sample_mask(lengths // per_column * per_column, n, self.height)
        return Conditioning(self._squeezed(cut_behind(up, lengths)), valid)

    def _squeezed(self, up: Tensor) -> Tensor:
        """(B, n_mels, n) -> (B, n_mels, height, width), in memory row by row: layers take whole rows of it."""
        return squeeze(up, self.height).transpose(1, 2).contiguous().transpose(1, 2)

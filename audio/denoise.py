"""Subtracting a vocoder's own constant noise from what it makes (WaveGlow's public denoiser)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.audio.conditioning import Mels
from flowsuite.audio.execution import ONCE
from flowsuite.audio.features.compress import silence
from flowsuite.audio.features.spec import MelSpec
from flowsuite.audio.vocoder import Vocoder

BIASES = ("silence", "zero-mel")
FRAMES = 88  # of the spectrogram that the bias is measured on, as in the public code


class Denoiser:
    """`|Y| = max(0, |X| - strength * bias)`, phases kept; X is the STFT of a synthesis, with the window of the spec.

    `bias` (n_fft // 2 + 1,) is the magnitude of the model's output at temperature 0 for a spectrogram of

    - "silence": every band at the logarithm of the clamp; averaged over frames, those at either end left out. What the
      model hums when there is nothing to say;
    - "zero-mel": every band 0, and the first frame alone, as NVIDIA's `denoiser.py` does it: that is a LOUD sound
      (magnitude 1 in every band), not silence.

    Each wave is denoised as if it were alone, zeros around it.

    Args:
        flow: the model.
        spec: of its mels.
        bias: see above.

    Example:
        >>> Denoiser(module.flow, module.spec)(waves, strength=0.1)
    """

    def __init__(self, flow: Vocoder, spec: MelSpec, bias: str = "silence"):
        if bias not in BIASES:
            raise ValueError(f"the bias of a denoiser must be one of {', '.join(BIASES)}, got {bias!r}")
        self.spec = spec
        self.bias = self.measure(flow, bias)

    @torch.no_grad()
    def measure(self, flow: Vocoder, kind: str) -> Tensor:
        anchor = flow.base.anchor
        level = silence(self.spec) if kind == "silence" else 0.0
        mels = Mels(torch.full((1, self.spec.n_mels, FRAMES), level, device=anchor.device, dtype=anchor.dtype))
        z = torch.zeros(flow.latent_shape(mels), device=anchor.device, dtype=anchor.dtype)
        wave = flow.decode(z, mels, how=ONCE)
        if kind == "zero-mel":
            reflected = F.pad(wave[:, : self.spec.n_fft], (self.spec.n_fft // 2, 0), "reflect")
            return self.stft(reflected)[0, :, 0].abs()
        inner = -(-self.spec.n_fft // self.spec.hop_length)
        return self.stft(wave)[0, :, inner:-inner].abs().mean(1)

    def stft(self, wave: Tensor) -> Tensor:
        """(B, n) to (B, n_fft // 2 + 1, 1 + (n - n_fft) // hop), no padding."""
        spec = self.spec
        return torch.stft(
            wave, spec.n_fft, spec.hop_length, spec.win_length, self.window(wave), center=False, return_complex=True
        )

    def window(self, like: Tensor) -> Tensor:
        return torch.hann_window(self.spec.win_length, device=like.device, dtype=like.dtype)

    @torch.no_grad()
    def __call__(self, waves: Tensor, strength: float = 0.1) -> Tensor:
        """Waves (B, n), zeros behind the end of shorter ones, to as many denoised ones."""
        if not 0 <= strength < float("inf"):
            raise ValueError(f"expected a denoising strength >= 0, got {strength}")
        if waves.ndim != 2:
            raise ValueError(f"expected waves (B, n), got {tuple(waves.shape)}")
        if not strength:
            return waves
        spec, n = self.spec, waves.shape[1]
        # Zeros for a whole window behind the end: every frame that touches a sample is then there, in any batch.
        spectrum = self.stft(F.pad(waves, (spec.n_fft // 2, spec.n_fft // 2 + spec.n_fft)))
        bias = (strength * self.bias).to(spectrum.real)[:, None]
        magnitude = spectrum.abs()
        factor = (magnitude - bias).clamp(min=0) / magnitude.clamp(min=torch.finfo(magnitude.dtype).tiny)
        window = self.window(waves)
        return torch.istft(
            spectrum * factor, spec.n_fft, spec.hop_length, spec.win_length, window, center=True, length=n
        )

    def stream(self, pieces: Iterable[Tensor], strength: float = 0.1) -> Iterator[Tensor]:
        """The pieces (n,) of one wave, denoised as the whole would be, a window later."""
        hop, context = self.spec.hop_length, -(-self.spec.n_fft // self.spec.hop_length) * self.spec.hop_length
        held, begin = None, 0  # samples not yet done and those `begin` before them, on the hop grid of the wave
        for piece in pieces:
            held = piece if held is None else torch.cat((held, piece))
            end = (len(held) - context) // hop * hop
            if end > begin:
                yield self(held[None], strength)[0, begin:end]
                keep = max(0, end - context)
                held, begin = held[keep:], end - keep
        if held is not None and len(held) > begin:
            yield self(held[None], strength)[0, begin:]

"""Log-mel spectrograms on any device, from whole clips or from segments of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.audio.features.compress import compress
from flowsuite.audio.features.reflect import reflected
from flowsuite.audio.features.spec import A0, MelSpec
from flowsuite.core.numerics import autocast_off


def filter_bank(spec: MelSpec, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
    """Triangles (n_fft // 2 + 1, n_mels) of `spec`; with librosa's defaults for scale and norm "slaney"."""
    import warnings

    from torchaudio.functional import melscale_fbanks

    with (
        warnings.catch_warnings()
    ):  # a triangle narrower than a bin stays empty, as in librosa: many bands, small n_fft
        warnings.simplefilter("ignore")
        bank = melscale_fbanks(
            spec.n_fft // 2 + 1, spec.fmin, spec.highest, spec.n_mels, spec.sample_rate, spec.norm, spec.scale
        )
    return bank.to(device, dtype)


def normalise_peak(wave: Tensor, peak: float | None) -> Tensor:
    """Clips (..., n) scaled to the absolute peak `peak`, each by itself; silence and `peak` None change nothing."""
    if peak is None:
        return wave
    top = wave.detach().abs().amax(-1, keepdim=True)
    return wave * torch.where(top > 0, peak / top, 1.0).to(wave.dtype)


class MelSpectrogram(nn.Module):
    """The log-mel spectrogram that a `MelSpec` describes (`Y = compress(bank^T |STFT|^power)`).

    Computed in float32, or float64 for float64 waves, under any autocast; differentiable; nothing is kept in the
    state dict.

    Args:
        spec: the settings.

    Example:
        >>> MelSpectrogram(A0)(torch.zeros(2, 22050)).shape
        torch.Size([2, 80, 87])
    """

    def __init__(self, spec: MelSpec = A0):
        super().__init__()
        self.spec = spec
        self.register_buffer("window", None, persistent=False)
        self.register_buffer("bank", None, persistent=False)
        self._make_tables(torch.float32, torch.device("cpu"))

    def _make_tables(self, dtype: torch.dtype, device: torch.device) -> None:
        self.window = torch.hann_window(self.spec.win_length, periodic=True, dtype=torch.float64).to(device, dtype)
        self.bank = filter_bank(self.spec, dtype, device)

    def forward(self, wave: Tensor) -> Tensor:
        """Mels of whole clips, (B, n) to (B, n_mels, spec.frames(n)), any n >= 1."""
        check_waves(wave, 1)
        spec = self.spec
        samples = wave.shape[-1]
        span = spec.span(0, spec.frames(samples), samples)
        return self.from_segment(reflected(normalise_peak(wave, spec.peak), *span))

    def from_segment(self, segment: Tensor) -> Tensor:
        """Mels of samples that carry their margins, (B, S) to (B, n_mels, 1 + (S - n_fft) // hop), no padding.

        Samples `spec.span(a, F, n)` of a reflected clip of n samples give exactly frames a .. a + F - 1 of the clip.
        Where the spec has a `peak`, the clip is scaled to it before it's cut.
        """
        check_waves(segment, self.spec.n_fft)
        return compress(self.bands(segment), self.spec)

    def bands(self, segment: Tensor) -> Tensor:
        """Band magnitudes ^ power, before the logarithm; see `from_segment`."""
        magnitude = self.magnitude(segment)
        if self.spec.power != 1:
            magnitude = magnitude**self.spec.power
        with autocast_off(segment):
            return self.bank.T @ magnitude

    def magnitude(self, segment: Tensor) -> Tensor:
        """`|STFT|`, (B, S) to (B, n_fft // 2 + 1, 1 + (S - n_fft) // hop).

        The transform itself is in float64 where the device has it: a quiet band beside loud ones drowns in the rounding
        of a float32 FFT (1e-3 in log-mel).
        """
        spec, dtype = self.spec, torch.promote_types(segment.dtype, torch.float32)
        if self.bank.dtype != dtype:  # a float64 wave, or a module that was cast to bfloat16 with all its buffers
            self._make_tables(dtype, self.bank.device)
        precise = torch.float32 if segment.device.type == "mps" else torch.float64
        with autocast_off(segment):
            spectrum = torch.stft(
                segment.to(precise),
                spec.n_fft,
                spec.hop_length,
                spec.win_length,
                self.window.to(precise),
                center=False,
                return_complex=True,
            )
            return spectrum.abs().to(dtype)


def check_waves(waves: Tensor, least: int) -> None:
    if waves.ndim != 2 or waves.shape[-1] < least or not waves.is_floating_point():
        wanted = f"floating-point waves (batch, samples) of at least {least} sample{'s' if least > 1 else ''}"
        raise ValueError(f"expected {wanted}, got {waves.dtype} {tuple(waves.shape)}")

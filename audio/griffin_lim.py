"""Griffin-Lim: a wave whose spectrogram comes close to given magnitudes; the baseline that a vocoder should beat."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.audio.features.compress import expand
from flowsuite.audio.features.convert import centred_spec, convert, samples_of
from flowsuite.audio.features.inverse import linear_magnitude
from flowsuite.audio.features.spec import MelSpec


def griffin_lim(
    magnitude: Tensor, spec: MelSpec, samples: int, iterations: int = 60, momentum: float = 0.99, seed: int = 0
) -> Tensor:
    """Magnitudes (B, n_fft // 2 + 1, F) of a centred STFT to waves (B, samples), from random phases.

    The fast variant (Perraudin, Balazs and Sondergaard, WASPAA 2013) as torchaudio has it; `momentum` 0 is the original
    algorithm, which ends further away: M-STFT 0.46 instead of 0.29 from the true magnitudes of LJ Speech.

    Args:
        magnitude: `|STFT|`, not negative.
        spec: its n_fft, hop and window; centred.
        samples: of the result; `spec.frames(samples)` must be F.
        iterations: projections onto the given magnitudes.
        momentum: in [0, 1).
        seed: of the phases; PyTorch's own random numbers are left alone.
    """
    from torchaudio.functional import griffinlim

    check_magnitude(magnitude, spec, samples)
    missing = spec.frames(max(samples, spec.n_fft)) - magnitude.shape[-1]  # istft and reflection want a whole window
    if missing:
        magnitude = torch.cat((magnitude, magnitude[..., -1:].expand(-1, -1, missing)), -1)
    window = torch.hann_window(spec.win_length, dtype=magnitude.dtype, device=magnitude.device)
    devices = [magnitude.device] if magnitude.is_cuda else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        wave = griffinlim(
            magnitude,
            window,
            spec.n_fft,
            spec.hop_length,
            spec.win_length,
            power=1.0,
            n_iter=iterations,
            momentum=momentum,
            length=max(samples, spec.n_fft),
            rand_init=True,
        )
    return wave[:, :samples]


def check_magnitude(magnitude: Tensor, spec: MelSpec, samples: int) -> None:
    bins = spec.n_fft // 2 + 1
    if not spec.centred:
        raise ValueError("Griffin-Lim needs the magnitudes of a centred STFT")
    if magnitude.ndim != 3 or magnitude.shape[1] != bins:
        raise ValueError(f"expected magnitudes (batch, {bins}, frames), got {tuple(magnitude.shape)}")
    if spec.frames(samples) != magnitude.shape[-1]:
        raise ValueError(f"{samples} samples have {spec.frames(samples)} frames, got {magnitude.shape[-1]}")


def mel_griffin_lim(
    mel: Tensor, spec: MelSpec, samples: int | None = None, iterations: int = 60, refinements: int = 50, seed: int = 0
) -> Tensor:
    """Mels (B, n_mels, F) of any spec to waves (B, samples), through the non-negative inverse of the bank.

    Args:
        mel: in the scale of `spec`.
        spec: what it was computed with.
        samples: of the clip; None is the most that F frames can stand for.
        iterations: see `griffin_lim`.
        refinements: see `features.inverse.linear_magnitude`.
        seed: of the phases.
    """
    samples = samples_of(mel.shape[-1], spec) if samples is None else samples
    centred = centred_spec(spec)
    mel = convert(mel, spec, centred, samples)
    magnitude = linear_magnitude(expand(mel.double(), centred), centred, refinements)
    return griffin_lim(magnitude, centred, samples, iterations, seed=seed).to(mel.dtype)

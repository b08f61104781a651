"""What an audio flow is conditional on: the mel spectrogram, in the flow's own layout, and which samples exist."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Mels(NamedTuple):
    """The context of a batch of clips, as a user gives it.

    Attributes:
        mel: log-mel spectrograms (B, n_mels, frames).
        lengths: samples of each clip, int64 (B,); None when every clip fills its row.
        frames: frames of each clip, int64 (B,), what stands behind them is ignored; None when every clip has all. With
            it a clip is conditioned in a batch exactly as alone.
    """

    mel: Tensor
    lengths: Tensor | None = None
    frames: Tensor | None = None


class Conditioning(NamedTuple):
    """The same, squeezed as the waveform is: the context of every layer.

    Attributes:
        mel: (B, n_mels, height, width), upsampled to one column of bands per sample, 0 where none is.
        valid: bool (B, height, width), False behind the end of a clip; None where there is no such place.
    """

    mel: Tensor
    valid: Tensor | None = None


def as_mels(context: Tensor | Mels | None, who: str) -> Mels:
    """`context` as `Mels`; a plain tensor is the spectrogram."""
    if context is None:
        raise ValueError(f"{who} needs a context: the mel spectrograms (B, n_mels, frames)")
    mels = Mels(context) if isinstance(context, Tensor) else Mels(*context)
    if not mels.mel.is_floating_point():
        raise ValueError(f"{who} expected mel spectrograms of floating-point numbers, got {mels.mel.dtype}")
    if mels.mel.ndim != 3:
        raise ValueError(f"{who} expected mel spectrograms (B, n_mels, frames), got shape {tuple(mels.mel.shape)}")
    for name, counts in (("length", mels.lengths), ("number of frames", mels.frames)):
        if counts is not None and counts.shape != mels.mel.shape[:1]:
            raise ValueError(f"expected one {name} for each of {len(mels.mel)} clips, got {tuple(counts.shape)}")
    return mels


def as_conditioning(context: Conditioning | None, who: str) -> Conditioning:
    """`context`, which must be there."""
    if not isinstance(context, Conditioning):
        raise ValueError(f"{who} needs a Conditioning as context, got {type(context).__name__}")
    return context

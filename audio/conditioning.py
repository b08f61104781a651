"""What an audio flow is conditional on: the mel spectrogram, in the flow's own layout, and which samples exist."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Mels(NamedTuple):
    """The context of a batch of clips, as a user gives it.

    Attributes:
        mel: log-mel spectrograms (B, n_mels, frames).
        lengths: samples of each clip, int64 (B,); None when every clip fills its row.
    """

    mel: Tensor
    lengths: Tensor | None = None


class Conditioning(NamedTuple):
    """The same, squeezed as the waveform is: the context of every layer.

    Attributes:
        mel: (B, n_mels, height, width), upsampled to one column of bands per sample.
        valid: bool (B, height, width), False behind the end of a clip; None where there is no such place.
    """

    mel: Tensor
    valid: Tensor | None = None


def as_mels(context: Tensor | Mels | None, who: str) -> Mels:
    """`context` as `Mels`; a plain tensor is the spectrogram."""
    if context is None:
        raise ValueError(f"{who} needs a context: the mel spectrograms (B, n_mels, frames)")
    mels = Mels(context) if isinstance(context, Tensor) else Mels(*context)
    if mels.mel.ndim != 3:
        raise ValueError(f"{who} expected mel spectrograms (B, n_mels, frames), got shape {tuple(mels.mel.shape)}")
    if mels.lengths is not None and mels.lengths.shape != mels.mel.shape[:1]:
        raise ValueError(f"expected one length for each of {len(mels.mel)} clips, got {tuple(mels.lengths.shape)}")
    return mels

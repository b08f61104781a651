"""Synthesis piece by piece: sound of any length in bounded memory, and the first of it at once.

A piece is synthesised with `margin` columns more on either side, which are thrown away; every column has the same noise
in all pieces that it is in. How far a column of the waveform looks to either side:

- forwards (the density) a flow of WaveFlow sees `sum_l 2^l = 255` columns, eight of them 2,040;
- backwards (synthesis) a row is computed from rows above that have just been computed themselves: 255 columns for each
  of the `height - 1` steps, 30,600 columns or 22 s for eight flows of height 16. A margin must go that far for pieces
  that are exact whatever the weights (`reach`).

The influence decays long before. Measured by `flowsuite audio overlap` on LJ001-0001 (9.7 s in pieces of 1 s, hard
cuts, height 16, 4 flows of 8 layers, 16 channels, LL of 3.0 to 3.5), the largest error in steps of 16-bit audio:

    margin (columns)    0       32     64     128   256   512    1024   2048
    largest error       14,820  4,987  4,213  599   24    0.021  0.016  0.012
    error power, dB     -21     -27    -30    -51   -80   -134   -135   -138

From 512 on, twice what one flow sees forwards, that is rounding. So it is at 8 kHz, height 8, 4 flows of 6 layers (63
columns each): 28 steps with a margin of 64, 0.53 with 96, 0.03 with 128. Both models had been trained for minutes and
sounded like noise rather than speech; measure again with a better one. Cross-fades of 16 columns added 0 to 3 dB to the
error there: they mix in samples that are nearer to the end of a piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from flowsuite.audio.conditioning import Mels
from flowsuite.audio.execution import DEFAULT, Execution
from flowsuite.audio.row_autoregressive import RowAutoregressive
from flowsuite.audio.vocoder import Vocoder
from flowsuite.audio.waveglow import MixedCoupling

USUAL_MARGIN = 1024  # columns; twice what was needed where it was measured
EXACT_UP_TO = 4096  # columns: WaveGlow reaches 3,060

Noise = Callable[[int, int], Tensor]


class Window(NamedTuple):
    """Columns [first, last) of a piece, synthesised from columns [start, stop)."""

    start: int
    first: int
    last: int
    stop: int


def reach(flow: Vocoder) -> int:
    """Columns to either side that a sample of the synthesis can depend on, latents or spectrogram."""
    total = 0
    for layer in flow.transform.modules():
        if isinstance(layer, RowAutoregressive):
            total += (len(layer.order) - 1) * sum(columns for _, columns in layer.net.dilations)
        elif isinstance(layer, MixedCoupling):
            total += sum(conv.dilation[0] * (conv.kernel_size[0] // 2) for conv in layer.coupling.net.convs)
    return total


def default_margin(flow: Vocoder) -> int:
    """The margin that is exact where that is cheap, else one whose error is far below a 16-bit step."""
    exact = reach(flow)
    return exact if exact <= EXACT_UP_TO else USUAL_MARGIN


def windows(width: int, chunk: int, margin: int) -> Iterator[Window]:
    """The pieces of `width` columns, `chunk` columns each."""
    if chunk < 1 or margin < 0:
        raise ValueError(f"expected pieces of at least 1 column and a margin of at least 0, got {chunk} and {margin}")
    for first in range(0, width, chunk):
        last = min(first + chunk, width)
        yield Window(max(0, first - margin), first, last, min(width, last + margin))


def decode_columns(
    flow: Vocoder, mel: Tensor, noise: Noise, start: int, stop: int, samples: int, how: Execution = DEFAULT
) -> Tensor:
    """The samples (n,) of columns [start, stop) of a clip of `samples`, as if nothing were around them."""
    first, last = start * flow.height, min(stop * flow.height, samples)
    frames, margin = flow.hop_length, flow.upsample.frame_reach
    frame = max(0, first // frames - margin)
    piece = mel[:, frame : -(-last // frames) + margin].unsqueeze(0)
    condition = flow.condition(Mels(piece), last - first, first - frame * frames)
    z = noise(start, stop).unsqueeze(0).to(condition.mel)
    return flow.decode_under(z, condition, last - first, how)[0]


@torch.no_grad()
def stream(
    flow: Vocoder,
    mel: Tensor,
    noise: Noise,
    samples: int | None = None,
    chunk: int = 8192,
    margin: int | None = None,
    fade: int = 0,
    how: Execution = DEFAULT,
) -> Iterator[Tensor]:
    """The waveform of a spectrogram in pieces, each as soon as it is computed.

    Args:
        flow: the vocoder.
        mel: (n_mels, F) on its device.
        noise: the latents (height, stop - start) of columns [start, stop), such as `ColumnNoise`.
        samples: of the clip; None: F hops.
        chunk: columns of a piece.
        margin: columns more on either side of a piece; `reach(flow)` makes the pieces exact; None: `default_margin`.
        fade: columns around a cut in which one piece fades into the next, linearly; at most 2 * margin and chunk.
        how: see `Vocoder.decode`.

    Yields:
        (n,) the next samples.
    """
    if mel.ndim != 2:
        raise ValueError(f"expected one spectrogram (n_mels, frames), got {tuple(mel.shape)}")
    samples = flow.hop_length * mel.shape[1] if samples is None else samples
    margin = default_margin(flow) if margin is None else margin
    if not 1 <= samples <= flow.hop_length * mel.shape[1]:
        raise ValueError(f"{mel.shape[1]} frames of {flow.hop_length} samples cannot condition {samples} samples")
    if not 0 <= fade <= min(2 * margin, chunk) or fade % 2:
        raise ValueError(f"fade must be even, from 0 to min(2 * margin, chunk) columns, got {fade}")
    width, half = -(-samples // flow.height), fade // 2 * flow.height
    tail = None
    for window in windows(width, chunk, margin):
        wave = decode_columns(flow, mel, noise, window.start, window.stop, samples, how)
        begin, end = ((column - window.start) * flow.height for column in (window.first, window.last))
        if tail is not None and half:
            wave = faded(tail, wave, begin - half)
        kept = wave[begin - half if tail is not None else 0 : end - half if window.last < width else len(wave)]
        tail = wave[end - half : end + half]
        yield kept


def faded(old: Tensor, wave: Tensor, begin: int) -> Tensor:
    """`wave` with its samples from `begin` on faded over from those of `old`, where both are."""
    n = min(len(old), len(wave) - begin)
    ramp = (torch.arange(n, device=wave.device, dtype=wave.dtype) + 0.5) / n
    return torch.cat((wave[:begin], torch.lerp(old[:n], wave[begin : begin + n], ramp), wave[begin + n :]))


def streamed(flow: Vocoder, mel: Tensor, noise: Noise, samples: int | None = None, **options) -> Tensor:
    """The pieces of `stream` joined: (samples,)."""
    return torch.cat(list(stream(flow, mel, noise, samples, **options)))

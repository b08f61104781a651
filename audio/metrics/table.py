"""The metric table of copy-synthesis: a recording against what a vocoder makes of its mel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from flowsuite.audio.features.spec import MelSpec
from flowsuite.audio.metrics.cepstrum import mel_cepstral_distortion
from flowsuite.audio.metrics.line_tone import line_tone_db
from flowsuite.audio.metrics.logmel import log_mel, log_mel_l1
from flowsuite.audio.metrics.mstft import mstft
from flowsuite.audio.metrics.pairs import comparable
from flowsuite.audio.metrics.perceptual import RATE, pesq_available, pesq_wb
from flowsuite.audio.metrics.pitch import pitch_errors, track_pitch

# name -> (heading with the unit, whether more is better, decimals)
COLUMNS = {
    "mstft": ("M-STFT", False, 3),
    "mcd_db": ("MCD dB", False, 2),
    "logmel_l1": ("log-mel L1", False, 3),
    "pesq_wb": ("PESQ-wb", True, 2),
    "f0_rmse_hz": ("F0 RMSE Hz", False, 2),
    "f0_rmse_cents": ("F0 RMSE cents", False, 1),
    "vuv_error": ("V/UV err", False, 3),
    "vuv_f1": ("V/UV F1", True, 3),
    "gpe": ("GPE", False, 3),
    "periodicity_rmse": ("periodicity RMSE", False, 3),
    "line_tone_db": ("line tone dB", False, 1),
}


class Average(NamedTuple):
    """The mean of a metric over the clips that have it, and how many these are."""

    mean: float
    count: int


def copy_synthesis_metrics(
    recording: Tensor,
    synthesis: Tensor,
    spec: MelSpec,
    *,
    pitch: bool = True,
    pesq: bool | None = None,
    height: int | None = None,
) -> dict[str, float]:
    """The metrics of one clip by name, as in `COLUMNS`; the waves cut to the shorter, the synthesis clipped to [-1, 1].

    Mels are those of variant A0 at the sample rate of `spec`, whatever else it says, so that models conditioned on
    different features compare.

    Args:
        recording, synthesis: waves (n,) in [-1, 1], on any device.
        spec: the mel spec of the model.
        pitch: whether to track F0 (about a second for five seconds of audio).
        pesq: whether to compute PESQ; None is where its package is installed and the rate is 16 kHz or more.
        height: rows of the model's squeezed waveform, to measure the line tones of the synthesis.

    Raises:
        ValueError: a wave is empty or not finite.
        ImportError: PESQ was asked for and is not installed.
    """
    rate = spec.sample_rate
    y, x = (wave.cpu() for wave in comparable(recording, synthesis))
    if y.ndim != 1:
        raise ValueError(f"expected one recording and one synthesis (samples,), got shape {tuple(y.shape)}")
    mels = log_mel(y, rate), log_mel(x, rate)
    figures = {
        "mstft": float(mstft(y, x)) if y.abs().max() > 0 else math.nan,  # relative to the recording's energy
        "mcd_db": mel_cepstral_distortion(*mels),
        "logmel_l1": log_mel_l1(*mels),
    }
    if pesq or (pesq is None and rate >= RATE and pesq_available()):
        figures["pesq_wb"] = pesq_wb(y, x, rate)
    if pitch:
        figures |= pitch_errors(track_pitch(y, rate), track_pitch(x, rate))
    if height is not None:
        figures["line_tone_db"] = line_tone_db(x, height)
    return figures


def average(clips: Sequence[Mapping[str, float]]) -> dict[str, Average]:
    """The mean of each metric over the clips where it is a number: F0 RMSE is NaN where nothing is voiced."""
    names = dict.fromkeys(name for clip in clips for name in clip)
    averages = {}
    for name in names:
        values = [clip[name] for clip in clips if name in clip and not math.isnan(clip[name])]
        averages[name] = Average(math.fsum(values) / len(values) if values else math.nan, len(values))
    return averages


def format_table(systems: Mapping[str, Mapping[str, Average]]) -> str:
    """A Markdown table, one line a system; a cell says over how many clips it is where these are fewer than most."""
    names = [name for name in COLUMNS if any(name in figures for figures in systems.values())]
    most = max((a.count for figures in systems.values() for a in figures.values()), default=0)
    rows = [["system", *(f"{COLUMNS[name][0]} {'↑' if COLUMNS[name][1] else '↓'}" for name in names)]]
    for system, figures in systems.items():
        rows.append([system, *(cell(figures.get(name), COLUMNS[name][2], most) for name in names)])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    rule = ["-" * width for width in widths]
    lines = [rows[0], rule, *rows[1:]]
    return "\n".join(f"| {' | '.join(text.ljust(w) for text, w in zip(line, widths, strict=True))} |" for line in lines)


def cell(figure: Average | None, decimals: int, most: int) -> str:
    if figure is None or not figure.count:
        return "-"
    text = f"{figure.mean:.{decimals}f}"
    return text if figure.count == most else f"{text} (of {figure.count} clip{'s' if figure.count > 1 else ''})"

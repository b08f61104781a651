"""Many files at once: decoded into memory if they fit, measured otherwise; what cannot be used is counted."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from flowsuite.audio.clip_files import ClipFile, ClipReader
from flowsuite.audio.clips import Clips, FileClips, PackedClips, peak_of
from flowsuite.audio.measurements import Measured, Measurements
from flowsuite.core.wording import plural

GIB = 1 << 30
SHOWN = 3  # errors that a warning quotes
AHEAD = 64  # files being decoded before their turn


@dataclass
class LoadReport:
    """What became of the files of a split.

    Attributes:
        total: files that there were.
        errors: of those that were skipped, one line each.
        mixed: clips of several channels, made mono.
        resampled: clips brought to another rate.
        clipped: clips with samples out of range.
    """

    total: int
    errors: list[str] = field(default_factory=list)
    mixed: int = 0
    resampled: int = 0
    clipped: int = 0

    def notice(self) -> str:
        """What is worth telling, in one line; empty if nothing is."""
        parts = []
        if self.errors:
            shown = "; ".join(self.errors[:SHOWN]) + ("; ..." if len(self.errors) > SHOWN else "")
            parts.append(f"skipped {len(self.errors)} of {plural(self.total, 'clip')}: {shown}")
        counts = {
            "of several channels made mono": self.mixed,
            "resampled": self.resampled,
            "with samples beyond full scale clipped": self.clipped,
        }
        parts += [f"{count} of {plural(self.total, 'clip')} {what}" for what, count in counts.items() if count]
        return "; ".join(parts)


def load_clips(
    files: Sequence[ClipFile],
    reader: ClipReader,
    on_error: str = "stop",
    in_memory: float = 4.0,
    cache: Path | None = None,
    label: str = "audio",
) -> tuple[Clips, LoadReport]:
    """The clips of many files.

    Every file is decoded once, by threads, so that bad ones are found before training starts. As long as all samples
    fit, they stay; otherwise only lengths and peaks do, which are kept in `cache` for the next time.

    Args:
        files: one a clip.
        reader: that decodes them.
        on_error: "stop" raises the error of the first file that cannot be used, "skip" leaves such files out. Silent
            clips cannot be used. One warning tells what was skipped, made mono, resampled or clipped.
        in_memory: GiB of 16-bit samples that may stay in memory.
        cache: folder for the measurements of clips that do not stay in memory; None keeps none.
        label: of the messages.

    Raises:
        ValueError, FileNotFoundError: see `on_error`, or there is no clip that can be used.
    """
    if on_error not in ("stop", "skip"):
        raise ValueError(f'on_error must be "stop" or "skip", got {on_error!r}')
    most = in_memory * GIB / 2
    known = Measurements(files, reader, cache)
    fits = sum(found.length for found in known.found.values()) <= most
    errors: dict[ClipFile, Exception] = {}
    waves: list[Tensor] = []
    samples = 0
    for file, result in decode_all([f for f in files if fits or f not in known.found], reader):
        if isinstance(result, Exception):
            if on_error == "stop":
                raise result
            errors[file] = result
            continue
        wave, known.found[file] = result
        samples += len(wave)
        fits = fits and samples <= most
        if fits:
            waves.append(wave)
        else:
            waves.clear()
    good = [file for file in files if file not in errors]
    measured = [known.found[file] for file in good]
    report = summary(len(files), list(errors.values()), measured, reader.sample_rate)
    if report.notice():
        warnings.warn(f"{label}: {report.notice()}", stacklevel=2)
    if not good:
        raise ValueError(
            f"{label}: none of {plural(len(files), 'clip')} can be used ({report.errors[0] if errors else 'no files'})"
        )
    names = [file.name for file in good]
    if fits:
        return PackedClips.pack(names, waves), report
    known.save()
    lengths = torch.tensor([found.length for found in measured])
    peaks = torch.tensor([found.peak for found in measured])
    return FileClips(names, lengths, peaks, good, reader), report


def summary(total: int, errors: list[Exception], measured: list[Measured], sample_rate: int) -> LoadReport:
    return LoadReport(
        total,
        [str(error) for error in errors],
        sum(found.channels > 1 for found in measured),
        sum(found.file_rate != sample_rate for found in measured),
        sum(found.clipped > 0 for found in measured),
    )


def decode_all(
    files: Sequence[ClipFile], reader: ClipReader
) -> Iterator[tuple[ClipFile, tuple[Tensor, Measured] | Exception]]:
    """`(file, (samples, measured))` or `(file, error)` of every file, in order, decoded ahead by threads."""

    def decode(file: ClipFile) -> tuple[Tensor, Measured] | Exception:
        try:
            clip = reader.whole(file)
        except (ValueError, FileNotFoundError) as error:
            return error
        peak = peak_of(clip.samples)
        return clip.samples, Measured(len(clip.samples), peak, clip.channels, clip.file_rate, clip.clipped)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for begin in range(0, len(files), AHEAD):
            chunk = files[begin : begin + AHEAD]
            yield from zip(chunk, pool.map(decode, chunk), strict=True)

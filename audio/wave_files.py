"""Audio files as waveforms, and back: read whole or not at all, written clipped, never wrapped."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from flowsuite.core.training.files import atomic_write

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".caf", ".w64", ".rf64")
MONO = ("mean", "first", "refuse")
FULL_SCALE = 32768  # of 16-bit samples: a waveform is sample / 32768
LOUDEST = 4.0  # decoders of lossy formats overshoot 1 a little; samples beyond this are in other units
BLOCK = 1 << 20  # frames decoded at a time, so that a header that lies about their number allocates nothing
FILTER = (
    10**6
)  # product of the terms of a ratio of rates, as large as a resampling filter; 320 * 147 for 48,000 to 22,050
RATES = (1000, 768000)  # Hz: no others are resampled

SHORTFALL = re.compile(r"^\s*(?:data|SSND|riff)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
UNKNOWN_SIZE = 0x7FFF0000  # a data size from here on is what programs write that don't know it yet


@dataclass(frozen=True)
class Recording:
    """A decoded file.

    Attributes:
        wave: (n,) float32, mono, in [-1, 1).
        sample_rate: of `wave`, Hz.
        file_rate: of the file, Hz; another number if it was resampled.
        channels: of the file.
        clipped: samples that were outside [-1, 1).
    """

    wave: Tensor
    sample_rate: int
    file_rate: int
    channels: int
    clipped: int


def read_wave(
    path: str | Path,
    sample_rate: int | None = None,
    resample: bool = False,
    mono: str = "mean",
    data: bytes | None = None,
) -> Tensor:
    """The waveform (n,) float32 of an audio file, in [-1, 1); 16-bit samples are divided by 32,768, exactly.

    WAV, FLAC, AIFF, Ogg, MP3 and what else libsndfile decodes, of 8 to 64 bits; see `read_recording` for the arguments
    and errors.
    """
    return read_recording(path, sample_rate, resample, mono, data).wave


def read_recording(
    path: str | Path,
    sample_rate: int | None = None,
    resample: bool = False,
    mono: str = "mean",
    data: bytes | None = None,
) -> Recording:
    """`read_wave` with what else is known of the file.

    Args:
        path: of the file.
        sample_rate: that it must have, Hz; None: any.
        resample: convert a file of another rate instead of refusing it (`resample_wave`).
        mono: of several channels their "mean", the "first", or "refuse" them.
        data: contents of the file, if it has been read already, from an archive say; then `path` is only its name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, truncated, no audio, of another rate, or has samples that are not finite or in other
            units than [-1, 1). One line, which names the file.
    """
    if mono not in MONO:
        raise ValueError(f"mono must be one of {', '.join(MONO)}, got {mono!r}")
    samples, rate = decode(path, data)
    if samples.shape[1] > 1 and mono == "refuse":
        raise ValueError(f"{path} has {samples.shape[1]} channels, expected 1")
    check_rate(path, rate, sample_rate, resample)
    channels = samples.shape[1]
    wave = torch.from_numpy(samples[:, 0] if mono == "first" or channels == 1 else samples.mean(axis=1)).contiguous()
    check_samples(wave, path)
    if sample_rate not in (None, rate):
        try:
            wave = resample_wave(wave, rate, sample_rate)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    clipped = int(((wave < -1) | (wave >= 1)).sum())
    if clipped:
        wave = wave.clamp(-1, 1 - 1 / FULL_SCALE)
    return Recording(wave, sample_rate or rate, rate, channels, clipped)


def check_samples(wave: Tensor, name: str | Path) -> None:
    """That a waveform is finite and in units of full scale."""
    if not torch.isfinite(wave).all():
        raise ValueError(f"{name} has {int((~torch.isfinite(wave)).sum())} samples that are not finite numbers")
    peak = float(wave.abs().max()) if len(wave) else 0.0
    if peak > LOUDEST:
        raise ValueError(f"{name} has samples up to {peak:.6g}: expected them in [-1, 1)")


def check_rate(path: str | Path, rate: int, wanted: int | None, resample: bool) -> None:
    if wanted not in (None, rate) and not resample:
        raise ValueError(
            f"{path} is at {rate} Hz, expected {wanted}: a re-recording? pass resample: true to convert it"
        )


def decode(path: str | Path, data: bytes | None = None) -> tuple[np.ndarray, int]:
    """Samples (n, channels) float32 and the rate; n is at least 1 and what the file's header says."""
    with opened(path, data) as file:
        shortfall = SHORTFALL.search(file.extra_info)
        if shortfall and int(shortfall[2]) < int(shortfall[1]) < UNKNOWN_SIZE:
            raise ValueError(
                f"{path} is truncated: its header promises {shortfall[1]} bytes of samples, {shortfall[2]} are there"
            )
        promised, blocks = file.frames, []
        try:
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block)
        except (soundfile.SoundFileError, MemoryError) as error:
            raise ValueError(f"{path} cannot be decoded to its end: truncated or damaged ({reason(error)})") from None
        rate = file.samplerate
    found = sum(map(len, blocks))
    if found < promised and promised < 2**62:
        raise ValueError(f"{path} is truncated: its header promises {promised} frames, {found} are there")
    if not found:
        raise ValueError(f"{path} holds no samples")
    return (blocks[0] if len(blocks) == 1 else np.concatenate(blocks)), rate


class Contents(BytesIO):
    """Bytes in which a damaged header may send libsndfile to before the first without a traceback."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


def opened(path: str | Path, data: bytes | None = None) -> soundfile.SoundFile:
    """An audio file to read from, or one of the errors of `read_recording`."""
    if data is None:
        path = Path(path)
        if path.is_dir():
            raise ValueError(f"{path} is a folder, expected an audio file")
        try:
            size = path.stat().st_size
            open(path, "rb").close()
        except FileNotFoundError:
            raise FileNotFoundError(f"{path} not found") from None
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    else:
        size = len(data)
    if not size:
        raise ValueError(f"{path} is empty")
    try:
        file = soundfile.SoundFile(os.fspath(path) if data is None else Contents(data))
    except (soundfile.SoundFileError, TypeError) as error:  # a headerless format by its name is a TypeError
        raise ValueError(f"{path} is not an audio file that can be read ({reason(error)})") from None
    if file.samplerate < 1 or file.channels < 1:
        file.close()
        raise ValueError(
            f"{path} is not an audio file that can be read ({file.samplerate} Hz, {file.channels} channels)"
        )
    return file


def reason(error: Exception) -> str:
    """The message of libsndfile, in one line, without the name of the file."""
    text = getattr(error, "error_string", None) or str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")


def resample_wave(wave: Tensor, old: int, new: int) -> Tensor:
    """`wave` (..., n) from `old` to `new` Hz: (..., ceil(n * new / old)), by a Kaiser-windowed sinc of 64 zeros."""
    if old == new:
        return wave
    terms = old // math.gcd(old, new), new // math.gcd(old, new)
    if math.prod(terms) > FILTER or not RATES[0] <= min(old, new) <= max(old, new) <= RATES[1]:
        raise ValueError(
            f"cannot resample from {old} to {new} Hz: expected usual rates, their ratio is {terms[0]}/{terms[1]}"
        )
    from torchaudio.functional import resample

    return resample(
        wave,
        old,
        new,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )


def to_int16(wave: Tensor) -> tuple[Tensor, int]:
    """`round(32768 * wave)`, halves to even, clipped to -32768..32767; and how many samples that clipped."""
    scaled = (wave.detach().double() * FULL_SCALE).round()
    clipped = int(((scaled < -FULL_SCALE) | (scaled > FULL_SCALE - 1)).sum())
    return scaled.clamp(-FULL_SCALE, FULL_SCALE - 1).to(torch.int16), clipped


def write_wave(path: str | Path, wave: Tensor, sample_rate: int) -> int:
    """Writes a mono 16-bit WAV (`to_int16`), whole or not at all; returns the number of clipped samples.

    Args:
        path: of the file.
        wave: (n,) in [-1, 1).
        sample_rate: Hz.
    """
    wave = torch.as_tensor(wave)
    if wave.ndim != 1 or not len(wave):
        raise ValueError(f"{path}: expected a waveform of shape (n,), got {tuple(wave.shape)}")
    if not torch.isfinite(wave).all():
        raise ValueError(f"{path}: {int((~torch.isfinite(wave)).sum())} samples are not finite numbers")
    samples, clipped = to_int16(wave.cpu())
    with atomic_write(path) as file:
        soundfile.write(file, samples.numpy(), int(sample_rate), format="WAV", subtype="PCM_16")
    return clipped


def list_waves(folder: str | Path) -> list[Path]:
    """Every audio file below a folder, sorted; hidden files and folders are left out."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: expected one with audio files")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    paths = sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no audio files ({', '.join(SUFFIXES)})")
    return paths

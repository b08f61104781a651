"""One clip in a file of its own or in a zip archive: decoded whole, or only a piece of it."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from flowsuite.audio.wave_files import MONO, opened, read_recording, reason, to_int16

SEEKABLE = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC")  # formats with exact seeking


@dataclass(frozen=True)
class ClipFile:
    """Where a clip is.

    Attributes:
        name: of the clip, unique in its data set.
        path: of the file, or of a zip archive.
        member: name in the archive.
    """

    name: str
    path: Path
    member: str | None = None

    @property
    def label(self) -> str:
        """The file as messages name it."""
        return str(self.path) if self.member is None else f"{self.path}: {self.member}"

    def contents(self) -> bytes | None:
        """The bytes of a member of an archive; None for a file."""
        if self.member is None:
            return None
        members = archive(self.path, os.getpid())
        try:
            return members.read(self.member)
        except KeyError:
            raise FileNotFoundError(f"{self.label} not found") from None
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"{self.label} cannot be read ({reason(error)})") from None


@lru_cache(maxsize=8)
def archive(path: Path, process: int) -> zipfile.ZipFile:
    """An archive, opened once in every process: positions in files are shared by forked ones."""
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path} is not a zip archive that can be read ({reason(error)})") from None


@dataclass(frozen=True)
class Decoded:
    """A clip in 16 bits.

    Attributes:
        samples: (n,) int16.
        channels: of the file.
        file_rate: of the file, Hz.
        clipped: samples that were out of range.
    """

    samples: Tensor
    channels: int
    file_rate: int
    clipped: int


@dataclass(frozen=True)
class ClipReader:
    """Decodes clips to 16 bits, exactly those of 16-bit files, the nearest ones of others.

    Args:
        sample_rate, resample, mono: see `read_recording`.
    """

    sample_rate: int
    resample: bool = False
    mono: str = "mean"

    def __post_init__(self):
        if self.mono not in MONO:
            raise ValueError(f"mono must be one of {', '.join(MONO)}, got {self.mono!r}")

    def whole(self, file: ClipFile) -> Decoded:
        """All of a clip.

        Raises:
            FileNotFoundError, ValueError: as `read_recording`, and for silence.
        """
        name = file.path if file.member is None else file.label
        recording = read_recording(name, self.sample_rate, self.resample, self.mono, file.contents())
        samples, clipped = to_int16(recording.wave)
        if not samples.any():
            raise ValueError(f"{file.label} is silent: all of its {len(samples)} samples are 0")
        return Decoded(samples, recording.channels, recording.file_rate, recording.clipped + clipped)

    def part(self, file: ClipFile, first: int, last: int, length: int) -> Tensor:
        """Samples [first, last) of a clip that had `length` of them, int16."""
        if file.member is None and (part := self.seek(file.path, first, last)) is not None:
            samples = to_int16(part)[0]
        else:
            whole = self.whole(file).samples
            samples = whole[first:last] if len(whole) == length else whole[:0]
        if len(samples) != last - first:
            raise ValueError(f"{file.label} has changed: it had {length} samples when it was first read")
        return samples

    def seek(self, path: Path, first: int, last: int) -> Tensor | None:
        """Samples [first, last) of a file, float32, without decoding the rest; None where that is not exact."""
        with opened(path) as file:
            if file.format not in SEEKABLE or file.samplerate != self.sample_rate:
                return None
            try:
                file.seek(first)
                samples = torch.from_numpy(file.read(last - first, dtype="float32", always_2d=True))
            except (soundfile.SoundFileError, ValueError) as error:
                raise ValueError(f"{path} cannot be read at sample {first} ({reason(error)})") from None
        return samples[:, 0] if self.mono == "first" or samples.shape[1] == 1 else samples.mean(dim=1)

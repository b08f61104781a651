"""What a vocoder is to say: spectrograms of audio files, or such as another tool has written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from flowsuite.audio.clip_files import ClipFile
from flowsuite.audio.features.convert import convert
from flowsuite.audio.features.mel import MelSpectrogram, normalise_peak
from flowsuite.audio.features.mel_files import SUFFIXES as MEL_SUFFIXES
from flowsuite.audio.features.mel_files import read_mel
from flowsuite.audio.features.reflect import reflected
from flowsuite.audio.features.spec import MelSpec
from flowsuite.audio.wave_files import SUFFIXES as WAVE_SUFFIXES
from flowsuite.audio.wave_files import read_recording
from flowsuite.core.wording import plural

KINDS = ("audio", "mels")
PIECE = 4096  # frames of a spectrogram computed at a time


@dataclass(frozen=True)
class Source:
    """One clip to synthesise.

    Attributes:
        name: of the clip; its noise is a function of it.
        mel: (n_mels, F) in the features of the model, on the CPU.
        samples: to synthesise.
        lead: how many of them are in front of the clip (variant B0, `MelSpec.lead`).
        gain: what to multiply them with, to have the loudness of the recording again where the features lost it.
        recording: (n,) where there is one.
    """

    name: str
    mel: Tensor
    samples: int
    lead: int = 0
    gain: float = 1.0
    recording: Tensor | None = None

    def finished(self, wave: Tensor) -> Tensor:
        """A synthesised wave (samples,) as the clip."""
        wave = wave[self.lead :]
        return wave if self.gain == 1 else wave * self.gain


@torch.no_grad()
def mel_of(wave: Tensor, mel: MelSpectrogram) -> Tensor:
    """The spectrogram (n_mels, F) of a whole clip (n,), on the CPU; the same as `mel(wave)`, in bounded memory."""
    spec, n, device = mel.spec, len(wave), mel.window.device
    wave = normalise_peak(wave, spec.peak)
    total = spec.frames(n)
    spans = (spec.span(first, min(PIECE, total - first), n) for first in range(0, total, PIECE))
    parts = [mel.from_segment(reflected(wave, *span)[None].to(device))[0].cpu() for span in spans]
    return torch.cat(parts, 1)


def source_of_wave(name: str, wave: Tensor, mel: MelSpectrogram) -> Source:
    """Copy-synthesis of a recording (n,) in [-1, 1), at the rate of the model."""
    spec, peak = mel.spec, float(wave.abs().max())
    lead = spec.lead(len(wave))
    gain = 1.0 if spec.peak is None or not peak else peak / spec.peak
    return Source(name, mel_of(wave, mel), lead + len(wave), lead, gain, wave)


def source_of_mel(name: str, mel: Tensor, spec: MelSpec, made_with: MelSpec | None = None) -> Source:
    """Synthesis from a spectrogram (n_mels, F): F hops.

    Args:
        name: of the clip.
        mel: finite.
        spec: the features of the model.
        made_with: those of `mel`, converted where they are others (`features.convert`); None: the model's.
    """
    converted = mel if made_with is None else convert(mel.cpu(), made_with, spec)
    return Source(name, converted, spec.hop_length * converted.shape[1])


@dataclass(frozen=True)
class SourceReader:
    """Reads audio files and files of spectrograms for a model.

    Args:
        mel: the model's features.
        made_with: features of the spectrograms in files; None: the model's.
        check: whether to hold those against natural speech (`features.check`).
        resample: convert audio of another rate instead of refusing it.
        mono: see `read_recording`.
    """

    mel: MelSpectrogram
    made_with: MelSpec | None = None
    check: bool = True
    resample: bool = False
    mono: str = "mean"

    def __call__(self, file: ClipFile) -> Source:
        """The source in a file.

        Raises:
            FileNotFoundError, ValueError: it cannot be used; one line, which names it.
        """
        spec = self.mel.spec
        if file.path.suffix.lower() in MEL_SUFFIXES:
            mel = read_mel(file.path, self.made_with or spec, self.check)
            return source_of_mel(file.name, mel, spec, self.made_with)
        recording = read_recording(file.path, mono=self.mono)
        if recording.file_rate != spec.sample_rate:
            if not self.resample:
                rates = f"{recording.file_rate} Hz, the model at {spec.sample_rate}"
                raise ValueError(
                    f"{file.path} is at {rates}: a re-recording? `flowsuite vocode --resample` converts it"
                )
            recording = read_recording(file.path, spec.sample_rate, True, self.mono)
        return source_of_wave(file.name, recording.wave, self.mel)


def list_sources(paths: Sequence[str | Path], only: str | None = None, leave_out: Path | None = None) -> list[ClipFile]:
    """Files, and the audio files and spectrograms below folders, with names that differ and depend on nothing else.

    Args:
        paths: of files and folders. A file in a folder is named by its path below it, another by its own name; without
            the suffix.
        only: "audio" or "mels" of the folders; None: whichever there are.
        leave_out: a folder below one of them of which nothing is taken, because results go there.

    Raises:
        FileNotFoundError: a path does not exist, or a folder holds nothing of use.
        ValueError: a folder holds both kinds and `only` does not say which; two files have one name.
    """
    files = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path} not found")
        files += in_folder(path, only, leave_out) if path.is_dir() else [ClipFile(path.stem, path)]
    seen: dict[str, Path] = {}
    for file in files:
        if file.name in seen:
            both = f"{seen[file.name]} and {file.path}"
            raise ValueError(f"{both} have the same name, {file.name}: synthesise them one after the other")
        seen[file.name] = file.path
    return files


def in_folder(folder: Path, only: str | None, leave_out: Path | None) -> list[ClipFile]:
    suffixes = dict(zip(KINDS, (WAVE_SUFFIXES, MEL_SUFFIXES), strict=True))
    if only is not None and only not in KINDS:
        raise ValueError(f"only must be one of {', '.join(KINDS)}, got {only!r}")
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    results = leave_out.resolve() if leave_out is not None else None
    results = results if results is not None and folder.resolve() in results.parents else None
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or results in path.resolve().parents or not path.is_file():
            continue
        for kind in KINDS:
            if path.suffix.lower() in suffixes[kind]:
                found[kind].append(path)
    kinds = [kind for kind in KINDS if found[kind] and only in (None, kind)]
    if not kinds:
        wanted = ", ".join(s for kind in KINDS if only in (None, kind) for s in suffixes[kind])
        raise FileNotFoundError(f"{folder} holds no files to synthesise from ({wanted})")
    if len(kinds) > 1:
        counts = f"{plural(len(found['audio']), 'audio file')} and {plural(len(found['mels']), 'spectrogram')}"
        raise ValueError(f"{folder} holds {counts}: say which with --only audio or --only mels")
    return [ClipFile(path.relative_to(folder).with_suffix("").as_posix(), path) for path in found[kinds[0]]]

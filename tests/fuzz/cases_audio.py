"""The readers of `flowsuite.audio`."""

from __future__ import annotations

import json
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

from flowsuite.audio.archives import unpack
from flowsuite.audio.clip_files import ClipFile, ClipReader
from flowsuite.audio.data_digits import list_digits
from flowsuite.audio.data_ljspeech import is_wanted, read_metadata
from flowsuite.audio.features.mel_files import read_mel
from flowsuite.audio.features.spec import A0
from flowsuite.audio.measurements import Measured, Measurements
from flowsuite.audio.wave_files import read_wave
from tests.audio.waves_made import samples
from tests.fuzz.harness import Reader, write

WAVE, RATE = samples(0, 400), 22050
MEL = np.random.default_rng(0).normal(-5, 2, (80, 12)).astype(np.float32)
READER = ClipReader(RATE)
METADATA = 'LJ001-0001|He said "1"|He said "one"\nLJ001-0002|Second\n'


def wave(kind: str, subtype: str | None = None) -> Callable[[Path], None]:
    data = WAVE / 32768 if subtype == "FLOAT" else WAVE
    return lambda path: soundfile.write(path, data, RATE, format=kind, subtype=subtype)


def read_mel_of(path: Path) -> torch.Tensor:
    return read_mel(path, A0, check=False)


def write_zip(path: Path) -> None:
    sound = path.with_name("7_a_5.wav")
    soundfile.write(sound, WAVE, RATE)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(sound, "recordings/7_a_5.wav")


def read_zip(path: Path) -> list[torch.Tensor]:
    from flowsuite.audio.clip_files import archive

    archive.cache_clear()
    return [READER.whole(clip).samples for clip in list_digits(path)]


def write_tar(mode: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        folder = path.with_name("LJSpeech-1.1")
        (folder / "wavs").mkdir(parents=True)
        (folder / "metadata.csv").write_text(METADATA)
        soundfile.write(folder / "wavs" / "LJ001-0001.wav", WAVE, RATE)
        with tarfile.open(path, mode) as archive:
            archive.add(folder, folder.name)
        shutil.rmtree(folder)

    return make


def read_tar(path: Path) -> None:
    """All that is new when it is unpacked lies in the folder that was asked for."""
    before = set(path.parent.parent.rglob("*"))
    folder = path.with_name("unpacked")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        unpack(path, folder, is_wanted)
    finally:
        new = set(path.parent.parent.rglob("*")) - before - {folder}
        assert all(folder in each.parents for each in new), sorted(map(str, new))


def measure(path: Path) -> None:
    """Damaged measurements are warned of, and are as if there were none."""
    clip = ClipFile("a", path.parents[1] / "a.wav")
    known = Measurements([clip], READER, path.parent)
    known.path = path
    known.kept = known.read()
    for entry in known.kept.values():
        Measured(*entry[1])


def write_measurements(path: Path) -> None:
    path.write_text(json.dumps({"/data/a.wav|": [[12, 34], [400, 9000, 1, 22050, 0]]}))


warnings.filterwarnings("ignore", "measuring the clips again")
READERS = [
    Reader("wav", "a.wav", wave("WAV"), read_wave, finite=True),
    Reader("wav of floats", "a.wav", wave("WAV", "FLOAT"), read_wave, finite=True),
    *(
        Reader(kind, f"a.{kind}", wave(kind.upper()), read_wave, finite=True)
        for kind in ("flac", "ogg", "mp3", "aiff", "au", "caf", "w64", "rf64")
    ),
    Reader("part of a wav", "a.wav", wave("WAV"), lambda path: READER.part(ClipFile("a", path), 50, 150, 400)),
    Reader("wav in a zip", "digits.zip", write_zip, read_zip),
    Reader("metadata", "metadata.csv", write(METADATA), read_metadata),
    Reader("mel npy", "a.npy", lambda path: np.save(path, MEL), read_mel_of, finite=True),
    Reader("mel npz", "a.npz", lambda path: np.savez(path, mel=MEL), read_mel_of, finite=True),
    Reader("mel pt", "a.pt", lambda path: torch.save(torch.from_numpy(MEL), path), read_mel_of, finite=True),
    Reader("measurements", "cache/clips.json", write_measurements, measure, refuses=False),
    *(
        Reader(f"archive {end}", f"LJSpeech-1.1.tar{end}", write_tar(mode), read_tar, share=0.5)
        for end, mode in (("", "w"), (".gz", "w:gz"), (".bz2", "w:bz2"), (".xz", "w:xz"))
    ),
]

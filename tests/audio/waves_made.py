"""Audio files for the tests, in the layouts that the data sets are published in."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

SHARED = Path(os.environ.get("FLOWSUITE_SHARED", "/work/shared")) / "data" / "audio"
LJ, DIGITS = SHARED / "LJSpeech-1.1", SHARED / "fsdd_train.zip"
needs_lj = pytest.mark.skipif(not LJ.is_dir(), reason=f"{LJ} is not here")
needs_digits = pytest.mark.skipif(not DIGITS.is_file(), reason=f"{DIGITS} is not here")


def samples(seed: int, n: int = 3000) -> np.ndarray:
    """Random int16 samples that tell clips apart."""
    return np.random.default_rng(seed).integers(-9000, 9000, n).astype(np.int16)


def write(path: Path, data: np.ndarray, rate: int = 22050, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, data, rate, **options)
    return path


def write_lj(root: Path, clips: int = 10, rate: int = 22050) -> Path:
    """LJ Speech's layout; clip k has 3000 + 100 k samples. Texts have quotes, one line lacks its third field."""
    folder = root / "LJSpeech-1.1"
    lines = []
    for k in range(clips):
        name = f"LJ001-{k + 1:04d}"
        write(folder / "wavs" / f"{name}.wav", samples(k, 3000 + 100 * k), rate)
        lines.append(f'{name}|"Said he, {k}' + ("" if k == 3 else f'|"Said he, number {k}'))
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "README").write_text("made for a test")
    return folder


def write_tar(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:bz2") as archive:
        archive.add(folder, arcname=folder.name)
    return path


def write_digits(folder: Path, takes=range(8), speakers=("jackson", "theo")) -> Path:
    for digit in range(10):
        for speaker in speakers:
            for take in takes:
                n = 1200 + 10 * digit + take
                write(folder / f"{digit}_{speaker}_{take}.wav", samples(100 * digit + take, n), 8000)
    return folder


def write_zip(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.wav")):
            archive.write(file, file.relative_to(folder))
    return path

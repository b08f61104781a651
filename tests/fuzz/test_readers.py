"""Every reader of files, on damaged files: only one-line errors that name the file, little memory, little time.

`FLOWSUITE_FUZZ=2000 FLOWSUITE_FUZZ_SEED=7 pytest tests/fuzz` looks deeper: so many random mutations of each file,
others with each seed.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec

import pytest

from tests.fuzz.harness import fuzz

NEEDS = {
    "core": ("h5py", "pandas"),
    "images": ("torchvision", "sklearn", "lmdb"),
    "audio": ("torchaudio", "soundfile"),
    "molecules": ("rdkit", "torch_geometric"),
    "pointclouds": ("torch_geometric",),
    "video": ("google_crc32c", "av"),
}


def readers(domain: str) -> list:
    if not find_spec(f"tests.fuzz.cases_{domain}") or any(find_spec(name) is None for name in NEEDS[domain]):
        return []
    return importlib.import_module(f"tests.fuzz.cases_{domain}").READERS


CASES = [pytest.param(reader, id=f"{domain}-{reader.name}") for domain in NEEDS for reader in readers(domain)]


@pytest.mark.parametrize("reader", CASES)
def test_damaged_files(reader):
    fuzz(reader)

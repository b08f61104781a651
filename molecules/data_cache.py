"""Encoded data sets kept as files, so that RDKit sees every molecule once."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rdkit

from flowsuite.core.training.files import user_cache
from flowsuite.molecules.encode import EncodedMolecules, encode_file
from flowsuite.molecules.encoder import CODEC
from flowsuite.molecules.packed import FORMAT
from flowsuite.molecules.vocabulary import Vocabulary

UNKEYED = ("workers", "progress")  # options that do not change what is encoded


def cache_folder(path: Path, cache: str | Path | None = None) -> Path:
    """Where the encoded form of a file is kept: `cache`, or `.flowsuite` beside it, or if nothing can be written there
    `flowsuite/molecules` in the user's cache folder."""
    if cache is not None:
        return Path(cache)
    beside = (path if path.is_dir() else path.parent) / ".flowsuite"
    if os.access(beside if beside.is_dir() else beside.parent, os.W_OK):
        return beside
    return user_cache("molecules")


def digest(path: Path) -> str:
    """Hash of the bytes of a file, or of all files directly in a folder."""
    state = hashlib.blake2b(digest_size=16)
    for each in sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]:
        state.update(each.name.encode())
        with open(each, "rb") as file:
            while block := file.read(1 << 20):
                state.update(block)
    return state.hexdigest()


def cache_path(path: Path, options: dict[str, Any], cache: str | Path | None = None) -> Path:
    """The file that holds `path` encoded with these options; other bytes or options have another one."""
    keyed = {name: value for name, value in options.items() if name not in UNKEYED}
    what = json.dumps([FORMAT, CODEC, rdkit.__version__, digest(path), keyed], sort_keys=True, default=list)
    key = hashlib.blake2b(what.encode(), digest_size=8).hexdigest()
    return cache_folder(path, cache) / f"{path.name.split('.')[0]}-{key}.npz"


def encode_cached(
    path: str | Path,
    vocabulary: Vocabulary | Sequence[str] | str,
    cache: str | Path | None = None,
    **options: Any,
) -> EncodedMolecules:
    """`encode_file(path, vocabulary, **options)`, from the cache if it is there.

    A cached file that cannot be read is made anew; a folder that cannot be written to costs a warning.

    Args:
        path: of the molecules. An .npz that `flowsuite molecules encode` wrote is read as it is.
        vocabulary: see `encode_file`.
        cache: folder of the encoded files, see `cache_folder`.
        options: those of `encode_file`.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} not found")
    names = vocabulary.names if isinstance(vocabulary, Vocabulary) else vocabulary
    if path.suffix == ".npz":
        return already_encoded(path, vocabulary, options)
    target = cache_path(path, {**options, "vocabulary": names}, cache)
    if target.exists():
        try:
            return EncodedMolecules.load(target)
        except ValueError as error:
            warnings.warn(f"{error}; encoding {path} again", stacklevel=2)
    encoded = encode_file(path, vocabulary, **options)
    try:
        encoded.save(target)
    except OSError as error:
        warnings.warn(f"the encoded molecules could not be kept ({error}): set cache to a folder", stacklevel=2)
    return encoded


def already_encoded(path: Path, vocabulary: Any, options: dict[str, Any]) -> EncodedMolecules:
    """An encoded file, checked against what is wanted of it."""
    encoded = EncodedMolecules.load(path)
    packed, report = encoded.packed, encoded.report
    if vocabulary != "auto":
        wanted = vocabulary if isinstance(vocabulary, Vocabulary) else Vocabulary(vocabulary)
        if wanted != packed.vocabulary:
            raise ValueError(f"{path} is encoded with {packed.vocabulary}, wanted {wanted}: encode it again")
    if list(packed.names) != list(options.get("properties", ())):
        got, want = ", ".join(packed.names) or "no properties", ", ".join(options.get("properties", ())) or "none"
        raise ValueError(f"{path} holds {got}, wanted {want}: encode it again")
    most = options.get("max_atoms") or packed.max_atoms
    if packed.max_atoms > most or report.window > options.get("window", report.window):
        raise ValueError(
            f"{path} holds molecules of up to {packed.max_atoms} atoms, for window {report.window}: "
            f"wanted at most {most} and window {options.get('window')}"
        )
    return encoded

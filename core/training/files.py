"""Files that are written whole or not at all, and read with errors that name them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A binary file to write to, which takes the name `path` only when the block has ended without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~current_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def write_npz(path: str | os.PathLike, **arrays: np.ndarray) -> None:
    """Compressed `.npz` of the named arrays, atomically."""
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def find_file(root: str | Path, names: list[str], hint: str = "") -> Path:
    """The first of `names` that exists under `root`."""
    for name in names:
        path = Path(root) / name
        if path.exists():
            return path
    raise FileNotFoundError(f"{Path(root) / names[0]} not found" + (f": {hint}" if hint else ""))


def load_npz(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of a `.npz`; pickled objects in it are refused."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    except Exception as error:
        raise ValueError(f"{path}: not a readable .npz of plain arrays ({error})") from None

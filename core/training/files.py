"""Files that are written whole or not at all, and read with errors that name them."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

FULL = (errno.ENOSPC, errno.EDQUOT)


class WriteError(OSError):
    """A file or folder that cannot be written; the message names it."""


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Turns an error of the file system into a `WriteError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: str | os.PathLike, error: OSError) -> WriteError:
    return WriteError(f"cannot write to {os.fspath(path)}: {(error.strerror or str(error)).lower()}")


def make_folder(path: str | os.PathLike) -> Path:
    """Makes the folder `path`, and those above it, if it is not there."""
    with naming(path):
        ensure_folder(Path(path))
    return Path(path)


@contextlib.contextmanager
def output_folder(path: str | os.PathLike) -> Iterator[Path]:
    """The folder `path`, made if it is not there; if the block fails, what was made for it and is empty goes again."""
    path = Path(path)
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_folder(path)
    try:
        yield path
    except BaseException:
        with contextlib.suppress(OSError):  # the first that is not empty
            for folder in made:
                folder.rmdir()
        raise


def ensure_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # so `mkdir` calls a file in the place of the folder
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None


def check_writable(*paths: str | os.PathLike | None) -> None:
    """Raises `WriteError` if a file of these (None is none) cannot be written, before work is done for it; makes its
    folder."""
    for path in (Path(path) for path in paths if path is not None):
        with naming(path):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            ensure_folder(path.parent)
            tempfile.TemporaryFile(dir=path.parent).close()


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A binary file to write to, which takes the name `path` only when the block has ended without an error.

    Raises:
        WriteError: the folder, or the file in it, cannot be made, or the disk is full.
    """
    path = Path(path)
    with naming(path):
        ensure_folder(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with naming(path):
            os.chmod(temporary, 0o666 & ~current_umask())
            os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in FULL:
            raise unwritable(path, error) from None
        raise


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Indented JSON, atomically; numbers that are not finite, which JSON does not have, as null."""
    with atomic_write(path) as file:
        file.write((json.dumps(finite_only(content), indent=2) + "\n").encode())


def finite_only(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {name: finite_only(value) for name, value in content.items()}
    return [finite_only(value) for value in content] if isinstance(content, (list, tuple)) else content


def write_npz(path: str | os.PathLike, **arrays: np.ndarray) -> None:
    """Compressed `.npz` of the named arrays, atomically."""
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def user_cache(domain: str) -> Path:
    """The folder in the user's cache where a domain may keep what it can make again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowsuite" / domain


def find_file(root: str | Path, names: list[str], hint: str = "") -> Path:
    """The first of `names` that exists under `root`."""
    for name in names:
        path = Path(root) / name
        if path.exists():
            return path
    raise FileNotFoundError(f"{Path(root) / names[0]} not found" + (f": {hint}" if hint else ""))


def read_at(path: str, offset: int, size: int) -> bytes:
    """A piece of a file, or what there is of it; opened for each call, so that worker processes share no position."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.pread(handle, max(0, min(size, os.fstat(handle).st_size - offset)), offset)
    finally:
        os.close(handle)


@contextlib.contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Turns whatever a reader of damaged bytes stumbles over into one line: `path` is no readable `what`."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    except Exception as error:
        raise ValueError(f"{path}: not a readable {what} ({reason(error)})") from None


@contextlib.contextmanager
def mapped(path: str | Path) -> Iterator[mmap.mmap]:
    """A file to read from, of which no read makes room for more than there is, whatever its header promises."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def reason(error: Exception) -> str:
    """What an error says, on one line of reasonable length."""
    return printable(str(error))[:200] or type(error).__name__


def printable(text: str) -> str:
    """`text` on one line, without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def read_text(path: str | Path) -> str:
    """A file of UTF-8 text."""
    with reading(path, "file of UTF-8 text"):
        return Path(path).read_text(encoding="utf-8-sig")


def read_json(path: str | Path) -> Any:
    """What a JSON file says."""
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {reason(error)}") from None


def read_yaml(path: str | Path) -> Any:
    """What a YAML file says: plain data, whatever tags it has."""
    import yaml

    text = read_text(path)
    with reading(path, "YAML file"):
        return yaml.safe_load(text)

"""Text files, compressed or not, with errors that name them."""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from flowsuite.core.training.files import reason

OPENERS = {".gz": gzip.open, ".bz2": bz2.open}


def plain_name(path: Path) -> str:
    """The name of a file in lower case, without the suffix of its compression."""
    name = path.name.lower()
    return name.removesuffix(path.suffix.lower()) if path.suffix.lower() in OPENERS else name


@contextlib.contextmanager
def opened(path: str | Path, mode: str = "rt") -> Iterator[IO]:
    """A file unpacked, as UTF-8 text unless `mode` is "rb".

    Whatever is wrong with its bytes, also while it is being read, is a ValueError that names the file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} not found")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: expected a file of molecules")
    options = {} if mode == "rb" else {"encoding": "utf-8-sig", "newline": ""}
    with readable(path), OPENERS.get(path.suffix.lower(), open)(path, mode, **options) as file:
        yield file


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Errors of damaged files become ValueErrors that name the file."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{path}: damaged or not gzip ({reason(error)})") from None
    except (UnicodeDecodeError, csv.Error, tarfile.TarError) as error:
        raise ValueError(f"{path}: not a readable file of molecules ({reason(error)})") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{path}: damaged ({reason(error)})") from None  # bz2's way to say so

"""Tar archives of data sets, of which only the wanted files are taken out."""

from __future__ import annotations

import lzma
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from flowsuite.core.training.files import make_folder, naming, unwritable

MOST = 64 << 30  # bytes that may be taken out
DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError)


def unpack(archive: Path, folder: Path, wanted: Callable[[PurePosixPath], bool]) -> Path:
    """Takes the wanted regular files out of a tar (plain or compressed), into `folder`, all of them or none.

    The first part of each name, the folder that everything in the archive is in, is left off. Names that lead out of
    it, links, devices and sparse files are never wanted. If `folder` exists already, nothing is done.

    Raises:
        ValueError: the archive cannot be read to its end, or holds nothing that is wanted.
        WriteError: the folder cannot be written.
    """
    if folder.is_dir():
        return folder
    make_folder(folder.parent)
    with naming(folder):
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        if not take_out(archive, temporary, wanted):
            raise ValueError(f"{archive} holds none of the files that were expected in it")
        with naming(folder):
            os.chmod(temporary, 0o755)
            os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def take_out(archive: Path, folder: Path, wanted: Callable[[PurePosixPath], bool]) -> int:
    """Writes the wanted files of an archive below `folder`; how many there were."""
    found = size = 0
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = inner(member.name)
                if not member.isfile() or member.issparse() or name is None or not wanted(name):
                    continue
                size += member.size
                if size > MOST:
                    raise ValueError(f"{archive}: its files are more than {MOST >> 30} GiB")
                target = folder / name
                make_folder(target.parent)
                with tar.extractfile(member) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out)
                found += 1
    except DAMAGED as error:
        if getattr(error, "errno", None) is not None:  # of the file system, not of the archive
            raise unwritable(folder, error) from None
        raise ValueError(f"{archive} is not a tar archive that can be read ({' '.join(str(error).split())})") from None
    return found


def inner(name: str) -> PurePosixPath | None:
    """`name` in an archive without its first folder; None if it leads elsewhere or nothing is left."""
    parts = [part for part in PurePosixPath(name).parts if part != "."]
    if ".." in parts or name.startswith("/") or len(parts) < 2:
        return None
    return PurePosixPath(*parts[1:])

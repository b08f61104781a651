"""NumPy files of plain numbers: nothing pickled is read, and headers that promise what is not there take no memory."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from flowsuite.core.training.files import reading

GIB = 1 << 30
MOST = 64 * GIB  # bytes that an archive may expand to
DEFLATED = 1032  # bytes that one byte of a deflated file can stand for at the most
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
ARCHIVE = b"PK\x03\x04"  # so begins a .npz


def load_npy(path: str | Path) -> np.ndarray:
    """The array of a `.npy`; pickled objects are refused.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is damaged, or something else; it is named.
    """
    if starts_with(path, ARCHIVE):
        raise ValueError(f"{path}: expected one array (.npy), got an archive of several")
    with reading(path, ".npy of numbers"):
        return read_array(lambda: open(path, "rb"), Path(path).stat().st_size)


def map_npy(path: str | Path, mode: str = "r") -> np.ndarray:
    """The array of a `.npy`, read from the file as it is used; pickles are refused.

    `mode` "r" is for reading; with "c" it may be written to, and the file stays as it is.
    """
    with reading(path, ".npy of numbers"):
        with open(path, "rb") as file:
            check_header(file, Path(path).stat().st_size)
        return np.load(path, mmap_mode=mode, allow_pickle=False)


def load_npz(path: str | Path, most: int = MOST) -> dict[str, np.ndarray]:
    """All arrays of a `.npz`, if they are no more than `most` bytes; pickled objects in it are refused.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is damaged or too large; it is named.
    """
    with reading(path, ".npz of plain arrays"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        size = sum(member.file_size for member in members)
        if size <= most:
            return {member.filename.removesuffix(".npy"): load_member(archive, member) for member in members}
    raise ValueError(f"{path}: expands to {size / GIB:.1f} GiB, more than the {most / GIB:g} GiB that are allowed")


def load_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    ratios = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: DEFLATED}
    if member.compress_type not in ratios:
        raise ValueError(f"{member.filename} is packed in a way that NumPy does not")
    there = os.fstat(archive.fp.fileno()).st_size
    if member.file_size > ratios[member.compress_type] * min(member.compress_size, there):
        raise ValueError(f"{member.filename} promises {member.file_size} bytes, {member.compress_size} are there")
    return read_array(lambda: archive.open(member), member.file_size)


def read_array(open_file: Callable[[], IO[bytes]], size: int) -> np.ndarray:
    """The array of a `.npy` of `size` bytes, which is opened once for its header and once for its numbers."""
    with open_file() as file:
        check_header(file, size)
    with open_file() as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def check_header(file: IO[bytes], size: int) -> None:
    """That the header of a `.npy` tells of numbers or text, of which all bytes are there."""
    if not size:
        raise ValueError("the file is empty")
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"format {version[0]}.{version[1]}, expected 1.0 or 2.0")
    shape, _, dtype = HEADERS[version](file)
    if dtype.kind not in "biufcSU" or not dtype.itemsize:
        raise ValueError(f"expected numbers or text, got {dtype}")
    if min(shape, default=0) < 0:
        raise ValueError(f"the header has a negative size, {shape}")
    wanted, there = prod(shape) * dtype.itemsize, size - file.tell()
    if wanted > there:
        raise ValueError(f"the header promises {wanted} bytes, {max(0, there)} are there")


def starts_with(path: str | Path, magic: bytes) -> bool:
    """Whether there is a file at `path` that begins with these bytes."""
    try:
        with open(path, "rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False

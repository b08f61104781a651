"""Arrays of numbers from MATLAB version 5 files, read with every type and size checked.

SciPy's reader ends the process (SIGSEGV) on a type that it does not know. The format is MathWorks' "MAT-File Format";
arrays of numbers take little of it.
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowsuite.core.training.files import mapped, reading

HEADERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}  # version and byte order, at byte 124
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CHARACTERS, INTEGERS, UNSIGNED, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
NUMERIC = range(6, 16)  # classes of arrays: double, single, and integers of 8 to 64 bits
COMPLEX = 0x800
CHUNK = 1 << 16


class Stream:
    """Elements of a part of a file, which may be deflated: a type, a size and the bytes, padded to eights."""

    def __init__(self, data: mmap.mmap, start: int, end: int, order: str, packed: bool):
        self.data, self.at, self.end, self.order = data, start, end, order
        self.inflate = zlib.decompressobj() if packed else None
        self.padding = 0

    def read(self, size: int) -> bytearray:
        found = bytearray()
        while len(found) < size and (piece := self._piece(size - len(found))):
            found += piece
        if len(found) < size:
            raise ValueError(f"an element of {size} bytes has {len(found)}")
        return found

    def _piece(self, most: int) -> bytes:
        """Up to `most` of the bytes to come; none at the end."""
        if self.inflate is None:
            piece = self.data[self.at : min(self.end, self.at + most)]
            self.at += len(piece)
            return piece
        while not self.inflate.eof:
            chunk = self.inflate.unconsumed_tail
            if not chunk:
                chunk = self.data[self.at : min(self.end, self.at + CHUNK)]
                self.at += len(chunk)
            piece = self.inflate.decompress(chunk, most)
            if piece or not chunk:
                return piece
        return b""

    def finish(self) -> None:
        """Reads what is left, for the checksum at the end of deflated data."""
        while self._piece(CHUNK):
            pass
        if self.inflate and not self.inflate.eof:
            raise ValueError("its compressed data are cut off")

    def tag(self) -> tuple[int, int]:
        return struct.unpack(f"{self.order}2I", self.read(8))

    def element(self) -> tuple[int, bytearray]:
        """`(type, bytes)` of the next element; up to four bytes may stand in the tag itself."""
        self.read(self.padding)
        head = self.read(8)
        kind, size = struct.unpack(f"{self.order}2I", head)
        if kind >> 16:
            self.padding = 0
            return kind & 0xFFFF, head[4 : 4 + min(4, kind >> 16)]
        self.padding = -size % 8
        return kind, self.read(size)

    def numbers(self, *kinds: int) -> np.ndarray:
        """The numbers of the next element, which must be of one of these types."""
        kind, data = self.element()
        if kind not in kinds:
            raise ValueError(f"an element has type {kind}, expected {' or '.join(map(str, kinds))}")
        dtype = np.dtype(self.order + TYPES[kind])
        if len(data) % dtype.itemsize:
            raise ValueError(f"an element of type {kind} has {len(data)} bytes")
        return np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False)


def read_array(stream: Stream, names: Sequence[str]) -> tuple[str, np.ndarray | None]:
    """The name of a stored variable, and its array if the name is asked for."""
    flags = stream.numbers(UNSIGNED)
    shape = [int(n) for n in stream.numbers(INTEGERS)]
    name = stream.numbers(CHARACTERS).tobytes().decode("latin1")
    if name not in names:
        return name, None
    if not len(flags) or int(flags[0]) & 0xFF not in NUMERIC or flags[0] & COMPLEX:
        raise ValueError(f"{name} is not an array of real numbers")
    values = stream.numbers(*TYPES)
    if len(shape) < 2 or min(shape) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"{name} has {len(values)} numbers for the shape {shape}")
    stream.finish()
    return name, values.reshape(shape, order="F")


def read_mat(path: str | Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays `keys` of a MATLAB version 5 file, in the types that they are stored in.

    Raises:
        ValueError: the file is no such file, is damaged, or lacks one of the arrays; names the file.
    """
    found: dict[str, np.ndarray] = {}
    with reading(path, "MATLAB v5 file"), mapped(path) as data:
        order = HEADERS.get(data[124:128])
        if order is None:
            raise ValueError("its header is of another version")
        at = 128
        while at < len(data) and len(found) < len(set(keys)):
            kind, size = Stream(data, at, len(data), order, packed=False).tag()
            at += 8
            if kind not in (MATRIX, COMPRESSED) or at + size > len(data):
                raise ValueError(f"at byte {at}: type {kind}, {size} bytes of {len(data) - at}")
            stream = Stream(data, at, at + size, order, packed=kind == COMPRESSED)
            at += size
            if kind == COMPRESSED and stream.tag()[0] != MATRIX:
                raise ValueError("compressed data that are no array")
            name, array = read_array(stream, keys)
            if array is not None:
                found[name] = array
    missing = [key for key in keys if key not in found]
    if missing:
        raise ValueError(f"{path}: holds no array named {', '.join(missing)}")
    return found

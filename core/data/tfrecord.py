"""TFRecord files and the `tf.train.Example` messages in them, without TensorFlow."""

from __future__ import annotations

import struct
from pathlib import Path

from flowsuite.core.training.files import read_at


def record_offsets(path: str | Path, check: bool = False) -> list[tuple[int, int]]:
    """`(offset, bytes)` of the data of every record of a file.

    A record is its length (uint64), the length's checksum, the data, the data's checksum (uint32, `masked_crc32c`).

    Args:
        path: the file.
        check: compare the checksums of the lengths; those of the data are for `read_record`.

    Raises:
        ValueError: the file ends within a record, or a checksum differs; file and record are named.
    """
    size, found, position = Path(path).stat().st_size, [], 0
    with open(path, "rb") as file:
        while position < size:
            file.seek(position)
            header = file.read(12)
            if check and len(header) == 12:
                _compare(header[:8], header[8:], f"{path}, record {len(found)}", "length")
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else size
            if position + 16 + length > size:
                raise ValueError(f"{path}: not a TFRecord file, or truncated in record {len(found)}")
            found.append((position + 12, length))
            position += 16 + length
    return found


def read_record(path: str | Path, offset: int, length: int, name: str) -> bytes:
    """The data of a record, compared with its checksum; `name` is what an error calls the record."""
    data = read_at(str(path), offset, length + 4)
    if len(data) != length + 4:
        raise ValueError(f"{name}: truncated, {len(data)} bytes of {length + 4} are there")
    _compare(data[:length], data[length:], name, "data")
    return data[:length]


def masked_crc32c(data: bytes) -> int:
    """The checksum of TFRecords: `rotr(crc32c(data), 15) + 0xA282EAD8` modulo 2^32."""
    try:
        from google_crc32c import value
    except ImportError:
        raise ImportError("checksums of TFRecords need the package google-crc32c: pip install google-crc32c") from None
    crc = value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _compare(data: bytes, stored: bytes, name: str, what: str) -> None:
    if masked_crc32c(data) != int.from_bytes(stored, "little"):
        raise ValueError(f"{name}: the {what} does not match its checksum, the file is damaged")


def parse_example(data: bytes) -> dict[str, bytes | list[int]]:
    """The features of an Example by name: the first entry of a bytes list, all of an int64 list."""
    features = {}
    for field, value in _fields(data):
        for kind, entry in _fields(value) if field == 1 else ():
            if kind == 1:
                parts = dict(_fields(entry))
                if not isinstance(parts.get(1), bytes):
                    raise ValueError("a feature has no name")
                features[parts[1].decode()] = _feature(parts.get(2, b""))
    return features


def _feature(data: bytes) -> bytes | list[int]:
    for field, value in _fields(data):
        if field == 1:
            return next((item for number, item in _fields(value) if number == 1), b"")
        if field == 3:
            return [n for number, item in _fields(value) if number == 1 for n in _integers(item)]
    return b""


def _integers(item: bytes | int) -> list[int]:
    """An int64 list, packed or not; numbers are two's complement in 64 bits."""
    numbers = [item] if isinstance(item, int) else []
    position = 0
    while not isinstance(item, int) and position < len(item):
        number, position = _varint(item, position)
        numbers.append(number)
    return [n - (1 << 64) if n >> 63 else n for n in (number & (1 << 64) - 1 for number in numbers)]


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError("not a protocol buffer message")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position


def _fields(data: bytes):
    """`(number, value)` of a message's fields: integers, or bytes for what has a length."""
    if not isinstance(data, bytes):
        raise ValueError("not a protocol buffer message")
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(data, position)
        elif kind in (1, 2, 5):
            length, position = _varint(data, position) if kind == 2 else ({1: 8, 5: 4}[kind], position)
            value = data[position : position + length]
            position += length
            if len(value) != length:
                raise ValueError("not a protocol buffer message")
        else:
            raise ValueError("not a protocol buffer message")
        yield tag >> 3, value

"""Writes TFRecords by their definition, without TensorFlow and without the code under test."""

from __future__ import annotations

import struct

CASTAGNOLI = 0x82F63B78


def varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def message(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def feature(value: bytes | list[int] | list[float]) -> bytes:
    if isinstance(value, bytes):
        return message(1, message(1, value))
    if isinstance(value[0], float):
        return message(2, message(1, struct.pack(f"<{len(value)}f", *value)))
    return message(3, message(1, b"".join(map(varint, value))))


def example(features: dict[str, bytes | list[int] | list[float]]) -> bytes:
    """A serialised tf.train.Example."""
    entries = ((name.encode(), feature(value)) for name, value in features.items())
    return message(1, b"".join(message(1, message(1, name) + message(2, value)) for name, value in entries))


def crc32c(data: bytes) -> int:
    """Bit by bit: slow, and independent of what is tested."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (CASTAGNOLI if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes, checksum) -> bytes:
    crc = checksum(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes, checksum=crc32c) -> bytes:
    """Length, payload and the checksums of both; `checksum` None writes zeros for them."""
    length = struct.pack("<Q", len(data))
    if checksum is None:
        return length + bytes(4) + data + bytes(4)
    return length + masked(length, checksum) + data + masked(data, checksum)

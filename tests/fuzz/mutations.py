"""What can be wrong with the bytes of a file: deterministic attacks, and random mutations for hypothesis."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zipfile
from collections.abc import Iterator

from hypothesis import strategies as st

HUGE = 1 << 40
NUMBERS = (0, 1, -1, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, HUGE, 2**62, 2**63 - 1, -(2**31), -(2**63))
WORDS = (b"-1", b"0", b"1099511627776", b"9" * 30, b"nan", b"inf", b"-inf", b"1e400", b"", b"x", b"\xff", b'"', b"'")
FLOATS = (float("nan"), float("inf"), float("-inf"), 1e300, -0.0)
DIGITS = re.compile(rb"\d+")
HEADER = 64  # bytes in which the deterministic attacks overwrite fields


def field(number: int, size: int, order: str) -> bytes:
    """An integer in 1, 2, 4 or 8 bytes, cut to what fits."""
    return (number & (1 << 8 * size) - 1).to_bytes(size, order)


def overwrite(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def not_a_number(value: float, size: int, order: str) -> bytes:
    form = {4: "f", 8: "d"}[size]
    try:
        return struct.pack(f"{order}{form}", value)
    except OverflowError:
        return struct.pack(f"{order}{form}", float("inf"))


def attacks(data: bytes) -> Iterator[bytes]:
    """The same mutations every time: cuts, other contents, huge and negative fields and numbers near the start."""
    yield from (b"", b"\n", data[:1], data[:-1], data + b"\0", data + data, data[::-1])
    yield from (data[: len(data) * eighths // 8] for eighths in range(1, 8))
    yield from (b"\xff" * len(data), b"\0" * len(data), bytes(4) + data[4:], b"no such format\n" * 9)
    yield from (gzip.compress(data), zipped({"data": data}), b"\xef\xbb\xbf" + data)
    for at in range(0, min(HEADER, len(data)), 4):
        yield overwrite(data, at, b"\xff" * 4)
        for order in ("little", "big"):
            yield overwrite(data, at, field(2**31 - 1, 4, order))
            yield overwrite(data, at, field(HUGE, 8, order))
    for found in list(DIGITS.finditer(data[:1024]))[:6]:
        for word in (b"1099511627776", b"-1", b"nan", b""):
            yield data[: found.start()] + word + data[found.end() :]
    for size in (4, 8):
        piece = not_a_number(float("nan"), size, "<")
        yield data[: len(data) // 2] + piece * (len(data) // (2 * size))


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with one to three things wrong with it."""
    for _ in range(draw(st.integers(1, 3))):
        data = draw(st.sampled_from(MUTATIONS))(draw, data)
    return data


def place(draw: st.DrawFn, data: bytes) -> int:
    """Anywhere, but half of the time where headers and trailers are."""
    if not data:
        return 0
    near = draw(st.sampled_from(("start", "end", "anywhere", "anywhere")))
    edge = min(len(data), 2 * HEADER)
    low, high = {"start": (0, edge), "end": (len(data) - edge, len(data))}.get(near, (0, len(data)))
    return draw(st.integers(low, high - 1))


def flip(draw: st.DrawFn, data: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 8))):
        data = overwrite(data, place(draw, data), bytes([draw(st.integers(0, 255))]))
    return data


def truncate(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: place(draw, data)]


def insert(draw: st.DrawFn, data: bytes) -> bytes:
    at = place(draw, data)
    return data[:at] + draw(st.binary(min_size=1, max_size=16)) + data[at:]


def remove(draw: st.DrawFn, data: bytes) -> bytes:
    at = place(draw, data)
    return data[:at] + data[at + draw(st.integers(1, 32)) :]


def repeat(draw: st.DrawFn, data: bytes) -> bytes:
    at = place(draw, data)
    return data[:at] + data[at : at + draw(st.integers(1, 64))] * draw(st.integers(2, 9)) + data[at:]


def number(draw: st.DrawFn, data: bytes) -> bytes:
    size, order = draw(st.sampled_from((1, 2, 4, 8))), draw(st.sampled_from(("little", "big")))
    return overwrite(data, place(draw, data), field(draw(st.sampled_from(NUMBERS)), size, order))


def word(draw: st.DrawFn, data: bytes) -> bytes:
    """Another word in the place of a number written in digits."""
    found = list(DIGITS.finditer(data))
    if not found:
        return number(draw, data)
    chosen = found[draw(st.integers(0, len(found) - 1))]
    return data[: chosen.start()] + draw(st.sampled_from(WORDS)) + data[chosen.end() :]


def nan(draw: st.DrawFn, data: bytes) -> bytes:
    size, order = draw(st.sampled_from((4, 8))), draw(st.sampled_from("<>"))
    at = place(draw, data) // size * size
    return overwrite(data, at, not_a_number(draw(st.sampled_from(FLOATS)), size, order))


def line(draw: st.DrawFn, data: bytes) -> bytes:
    """A line of text left out, or there twice."""
    lines = data.splitlines(keepends=True)
    at = draw(st.integers(0, max(0, len(lines) - 1)))
    return b"".join(lines[:at] + lines[at : at + 1] * draw(st.sampled_from((0, 2))) + lines[at + 1 :])


def inside(draw: st.DrawFn, data: bytes) -> bytes:
    """What is packed in a gzip or zip, mutated and packed again, so that all checksums are right."""
    try:
        if data.startswith(b"\x1f\x8b"):
            return gzip.compress(draw(st.sampled_from(PLAIN))(draw, gzip.decompress(data)))
        if data.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
            chosen = draw(st.sampled_from(sorted(members)))
            members[chosen] = draw(st.sampled_from(PLAIN))(draw, members[chosen])
            return zipped(members)
    except Exception:  # an earlier mutation has broken the container
        return data[:-1]
    return draw(st.sampled_from(PLAIN))(draw, data)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


PLAIN = (flip, truncate, insert, remove, repeat, number, word, nan, line)
MUTATIONS = (*PLAIN, inside, inside, inside)

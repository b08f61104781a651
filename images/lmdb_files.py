"""LMDB databases, read with every offset in them checked.

The library `lmdb` maps a database into memory and trusts its pages, so that one damaged byte can end the process
(SIGSEGV, SIGBUS). Reading by key takes little: a B+ tree of pages (http://www.lmdb.tech/doc, data format 1), walked
here by plain reads of the file. Nothing is kept open that a fork must not inherit.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from flowsuite.core.training.files import reason

MAGIC, VERSION = 0xBEEFC0DE, 1
# A meta page: header; magic, version, address, map size; the free and the main tree, each pad (of the free one: bytes
# a page), flags, depth, pages of three kinds, entries and root; the last page; the transaction that wrote it.
META = struct.Struct("<16x 2I 2Q I2H5Q I2H5Q 2Q")
PAGE = struct.Struct("<Q2x3H")  # number, kind, end of the pointers to nodes, start of the nodes
OVERFLOW_PAGE = struct.Struct("<Q2xHI")  # number, kind, how many pages the value takes
NODE = struct.Struct("<4H")  # low and high half of the value's size, flags, size of the key; the key follows
BRANCH, LEAF, OVERFLOW, KINDS = 1, 2, 4, 0x27
BIG = 1  # flag of a node whose value is on pages of its own
EMPTY = (1 << 64) - 1  # the root of a tree without entries
PAGE_SIZES = [1 << n for n in range(9, 17)]


class LMDBFile:
    """The keys and values of the main database in an LMDB folder; read-only, for files that nobody writes to.

    A value costs a read of each level of the tree (3 for millions of entries) and its own; `keys` reads every page that
    holds nodes, but no value that is on pages of its own.

    Args:
        folder: with the file `data.mdb`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: here and in every read: it is damaged, truncated, or no database of plain keys; names the file.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder, "data.mdb")
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path} not found: expected the LMDB folder as distributed")
        self.file = open(self.path, "rb", buffering=0)  # noqa: SIM115 (kept for the reads to come)
        self.size = os.fstat(self.file.fileno()).st_size
        self.page_size = self._page_size()
        metas = [self._meta(place) for place in (0, self.page_size)]
        *_, flags, depth, _, _, _, entries, root, last, _ = max(metas, key=lambda meta: meta[-1])
        self.last, self.root, self.depth, self.entries = last, root, depth, 0 if root == EMPTY else entries
        if (last + 1) * self.page_size > self.size:
            raise ValueError(f"{self.path}: truncated, {self.size} bytes of {(last + 1) * self.page_size} are there")
        if flags:
            raise ValueError(f"{self.path}: expected plain keys, one value each, got a database with flags {flags:#x}")

    def __len__(self) -> int:
        return self.entries

    def keys(self) -> list[bytes]:
        """All keys in order."""
        keys, previous = [], b""
        for page in self._leaves():
            for i in range(self._count(page)):
                key = self._node(page, i)[0]
                if key <= previous:
                    raise self._damaged(f"key {len(keys)} is not in order")
                keys.append(key)
                previous = key
        if len(keys) != self.entries:
            raise self._damaged(f"{len(keys)} keys of {self.entries} are there")
        return keys

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; None if it is not there."""
        if not self.entries:
            return None
        number = self.root
        for _ in range(self.depth - 1):
            page = self._page(number, BRANCH)
            # The first key of a branch is not stored: it is below all others.
            number = self._child(page, max(0, self._first_above(page, key, start=1) - 1))
        page = self._page(number, LEAF)
        i = self._first_above(page, key) - 1
        found, size, flags, at = self._node(page, i) if i >= 0 else (None, 0, 0, 0)
        return self._value(page, size, flags, at) if found == key else None

    def _page_size(self) -> int:
        start = self._read(0, META.size)
        size = META.unpack(start)[4] if len(start) == META.size else 0
        if size not in PAGE_SIZES:
            raise ValueError(f"{self.path}: not a readable LMDB database (pages of {size} bytes)")
        return size

    def _meta(self, place: int) -> tuple[int, ...]:
        data = self._read(place, META.size)
        meta = META.unpack(data) if len(data) == META.size else (0,) * 20
        if meta[:2] != (MAGIC, VERSION) or meta[4] != self.page_size:
            reason = f"its description at byte {place} is damaged"
            raise ValueError(f"{self.path}: not a readable LMDB database ({reason})")
        return meta

    def _leaves(self) -> Iterator[bytes]:
        """The pages with keys, in order; a damaged tree may have circles, so pages are counted."""
        waiting, left = [(self.root, self.depth)] if self.entries else [], self.last + 1
        while waiting:
            left -= 1
            if min(left, self.last + 1 - len(waiting)) < 0:
                raise self._damaged("its tree has more pages than there are")
            number, depth = waiting.pop()
            if depth == 1:
                yield self._page(number, LEAF)
            else:
                page = self._page(number, BRANCH)
                waiting += [(self._child(page, i), depth - 1) for i in reversed(range(self._count(page)))]

    def _page(self, number: int, kind: int) -> bytes:
        page = self._read(number * self.page_size, self.page_size) if number <= self.last else b""
        if len(page) < self.page_size:
            raise self._damaged(f"there is no page {number}")
        own, flags, lower, upper = PAGE.unpack_from(page)
        if own != number or flags & KINDS != kind or lower % 2 or not 18 <= lower <= upper <= self.page_size:
            raise self._damaged(f"page {number} is not what it should be")
        return page

    def _count(self, page: bytes) -> int:
        return (PAGE.unpack_from(page)[2] - PAGE.size) // 2

    def _node(self, page: bytes, i: int) -> tuple[bytes, int, int, int]:
        """Node `i`: its key, the size of its value, its flags, and where in the page its value begins."""
        at = int.from_bytes(page[PAGE.size + 2 * i : PAGE.size + 2 * i + 2], "little")
        if at + NODE.size > self.page_size:
            raise self._damaged(f"node {i} of page {PAGE.unpack_from(page)[0]} is outside it")
        low, high, flags, length = NODE.unpack_from(page, at)
        end = at + NODE.size + length
        if end > self.page_size:
            raise self._damaged(f"key {i} of page {PAGE.unpack_from(page)[0]} is outside it")
        return page[at + NODE.size : end], low | high << 16, flags, end

    def _child(self, page: bytes, i: int) -> int:
        """The page below node `i` of a branch, whose number is in the fields of a leaf's size and flags."""
        _, size, flags, _ = self._node(page, i)
        return size | flags << 32

    def _first_above(self, page: bytes, key: bytes, start: int = 0) -> int:
        """The number of the first node, from `start` on, whose key is larger than `key`."""
        low, high = start, self._count(page)
        while low < high:
            middle = (low + high) // 2
            if self._node(page, middle)[0] > key:
                high = middle
            else:
                low = middle + 1
        return low

    def _value(self, page: bytes, size: int, flags: int, at: int) -> bytes:
        if not flags:
            if at + size > self.page_size:
                raise self._damaged(f"a value of {size} bytes is outside its page {PAGE.unpack_from(page)[0]}")
            return page[at : at + size]
        if flags != BIG or at + 8 > self.page_size:
            raise self._damaged(f"a value with flags {flags:#x} where a plain one was expected")
        number = int.from_bytes(page[at : at + 8], "little")
        head = self._read(number * self.page_size, OVERFLOW_PAGE.size) if number <= self.last else b""
        own, kind, pages = OVERFLOW_PAGE.unpack(head) if len(head) == OVERFLOW_PAGE.size else (0, 0, 0)
        room = min(pages, self.last + 1 - number) * self.page_size - OVERFLOW_PAGE.size
        if own != number or kind & KINDS != OVERFLOW or size > room:
            raise self._damaged(f"a value of {size} bytes is not on page {number}")
        return self._read(number * self.page_size + OVERFLOW_PAGE.size, size)

    def _read(self, at: int, size: int) -> bytes:
        try:
            return os.pread(self.file.fileno(), size, at)
        except OSError as error:
            raise ValueError(f"{self.path}: cannot be read at byte {at} ({reason(error)})") from None

    def _damaged(self, what: str) -> ValueError:
        return ValueError(f"{self.path}: damaged LMDB database ({what})")


def open_lmdb(folder: str | Path) -> LMDBFile:
    """The database in a folder, opened once in a process as long as its file stays the same."""
    path = Path(folder, "data.mdb")
    state = path.stat() if path.is_file() else None
    return _open(str(folder), state and (state.st_ino, state.st_size, state.st_mtime_ns))


@functools.lru_cache(maxsize=32)
def _open(folder: str, state: tuple[int, ...] | None) -> LMDBFile:
    return LMDBFile(folder)

"""Our reader of LMDB databases against the library, and on damaged pages, which would crash the library."""

import random

import pytest

from flowsuite.images.lmdb_files import LMDBFile, open_lmdb

lmdb = pytest.importorskip("lmdb")


def write(folder, entries, deleted=(), steps=1, **options):
    """A database written in several transactions, so that it has free pages and two different descriptions."""
    names = list(entries)
    with lmdb.open(str(folder), map_size=1 << 26, **options) as environment:
        for step in range(steps):
            with environment.begin(write=True) as transaction:
                for name in names[step::steps]:
                    transaction.put(name, entries[name])
        with environment.begin(write=True) as transaction:
            for name in deleted:
                transaction.delete(name)
    return folder


def random_entries(number, largest, seed=0):
    draw = random.Random(seed)
    return {draw.randbytes(draw.randint(1, 60)): draw.randbytes(draw.randint(0, largest)) for _ in range(number)}


@pytest.mark.parametrize(("number", "largest"), [(1, 10), (3, 20_000), (40, 3000), (3000, 30), (2000, 5000)])
def test_reads_what_the_library_wrote(number, largest, tmp_path):
    entries = random_entries(number, largest)
    deleted = list(entries)[::7] if number > 7 else []
    database = LMDBFile(write(tmp_path, entries, deleted, steps=min(number, 3)))
    left = {name: value for name, value in entries.items() if name not in set(deleted)}
    assert database.keys() == sorted(left) and len(database) == len(left)
    assert all(database.get(name) == value for name, value in left.items())
    absent = [*deleted, b"\0", b"\xff" * 70, *(name + b"\0" for name in left)]
    assert all(database.get(name) is None for name in absent if name not in left)
    if number >= 2000:
        assert database.depth >= 2


def test_empty(tmp_path):
    database = LMDBFile(write(tmp_path, {}))
    assert (len(database), database.keys(), database.get(b"a")) == (0, [], None)


def test_every_byte_of_a_database_damaged(tmp_path):
    """No byte can do more than spoil what it is part of: an error that names the file, or other keys and values."""
    path = write(tmp_path, random_entries(60, 600)) / "data.mdb"
    data, draw, refused = path.read_bytes(), random.Random(1), 0
    with pytest.raises(FileNotFoundError, match="expected the LMDB folder"):
        LMDBFile(tmp_path / "nowhere")
    for at in range(0, len(data), 149):
        path.write_bytes(data[:at] + draw.randbytes(6) + data[at + 6 :])
        try:
            database = LMDBFile(tmp_path)
            for name in reversed(database.keys()):
                database.get(name)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > 5


def test_a_damaged_page_is_named(tmp_path):
    path = write(tmp_path, random_entries(3000, 10)) / "data.mdb"
    database = LMDBFile(tmp_path)
    start = database.root * database.page_size
    data = path.read_bytes()
    path.write_bytes(data[: start + 10] + b"\0\0" + data[start + 12 :])
    with pytest.raises(ValueError, match=f"page {database.root} is not what it should be"):
        LMDBFile(tmp_path).keys()


def test_a_circle_ends(tmp_path):
    """Every child of the root is the root, under a depth that damage has made huge."""
    path = write(tmp_path, random_entries(3000, 10)) / "data.mdb"
    database = LMDBFile(tmp_path)
    data, start = bytearray(path.read_bytes()), database.root * database.page_size
    page = bytes(data[start : start + database.page_size])
    for i in range(database._count(page)):
        node = start + int.from_bytes(page[16 + 2 * i : 18 + 2 * i], "little")
        data[node : node + 6] = database.root.to_bytes(6, "little")
    for meta in (0, database.page_size):
        data[meta + 94 : meta + 96] = (60_000).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(ValueError, match="more pages than there are"):
        LMDBFile(tmp_path).keys()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.999])
def test_truncated(kept, tmp_path):
    path = write(tmp_path, random_entries(500, 600)) / "data.mdb"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"data\.mdb: (truncated|not a readable)"):
        LMDBFile(tmp_path)


def test_other_kinds_of_database_are_refused(tmp_path):
    with lmdb.open(str(tmp_path / "named"), max_dbs=2) as environment:
        environment.open_db(b"inside")
    with pytest.raises(ValueError, match="flags 0x2"):
        LMDBFile(tmp_path / "named").get(b"inside")
    path = write(tmp_path / "several", {b"a": b"1"}) / "data.mdb"
    data = bytearray(path.read_bytes())
    for meta in (0, LMDBFile(path.parent).page_size):
        data[meta + 92] = 4  # several values a key
    path.write_bytes(data)
    with pytest.raises(ValueError, match="one value each"):
        LMDBFile(tmp_path / "several")


def test_opened_once_and_again_when_changed(tmp_path):
    folder = write(tmp_path, {b"a": b"1"})
    assert open_lmdb(folder) is open_lmdb(str(folder))
    write(folder, {b"b": b"2"})
    assert open_lmdb(folder).keys() == [b"a", b"b"]

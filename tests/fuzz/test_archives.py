"""Archives that promise more than they hold, or lead elsewhere."""

from __future__ import annotations

import io
import struct
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest

from flowsuite.audio import archives
from flowsuite.audio.data_ljspeech import is_wanted
from flowsuite.core.training.numpy_files import load_npy, load_npz, map_npy

HUGE = 1 << 40


def header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


@pytest.mark.parametrize("read", [load_npy, map_npy])
@pytest.mark.parametrize(
    ("shape", "kind"), [((HUGE,), "<f4"), ((HUGE, HUGE), "|u1"), ((-1, 3), "<f8"), ((HUGE,), "|S0")]
)
def test_headers_that_promise_too_much_take_no_memory(read, shape, kind, tmp_path):
    (tmp_path / "a.npy").write_bytes(header(shape, kind) + bytes(12))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"a\.npy: not a readable \.npy of numbers \("):
        read(tmp_path / "a.npy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_that_promise_too_much_take_no_memory(method, tmp_path):
    """The header in the archive, and then the size that the archive gives for it, lie."""
    path, promised = tmp_path / "a.npz", 1 << 30
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", header((promised,), "|u1") + bytes(1000))
    with pytest.raises(ValueError, match="promises 1073741824 bytes, 1000 are there"):
        load_npz(path)
    data = path.read_bytes()
    sizes = [at for at in range(len(data)) if data.startswith(b"PK\x01\x02", at)]
    for at in sizes:
        data = data[: at + 24] + struct.pack("<I", promised + 128) + data[at + 28 :]
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.npz: not a readable .*x\.npy promises 1073741952 bytes"):
        load_npz(path)


def test_archives_that_expand_too_far_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(1 << 20, np.uint8))
    assert load_npz(tmp_path / "a.npz")["x"].size == 1 << 20
    with pytest.raises(ValueError, match=r"a\.npz: expands to 0\.0 GiB, more than"):
        load_npz(tmp_path / "a.npz", most=1 << 19)


def tar(path, *members: tarfile.TarInfo, contents: bytes = b"") -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))


def member(name: str, **attributes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


SPARSE = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(HUGE), "GNU.sparse.numblocks": "1"}
HARMFUL = {
    "above": member("L/../../evil.wav"),
    "above from within": member("L/wavs/../../../evil.wav"),
    "absolute": member("/L/wavs/evil.wav"),
    "symbolic link": member("L/wavs/a.wav", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": member("L/wavs/a.wav", type=tarfile.LNKTYPE, linkname="../../../etc/passwd"),
    "device": member("L/wavs/a.wav", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "pipe": member("L/wavs/a.wav", type=tarfile.FIFOTYPE),
    "sparse": member("L/wavs/a.wav", pax_headers=SPARSE),
}


@pytest.mark.parametrize("kind", HARMFUL)
def test_nothing_harmful_is_taken_out(kind, tmp_path):
    inside = tmp_path / "data" / "a.tar"
    inside.parent.mkdir()
    tar(inside, HARMFUL[kind])
    with pytest.raises(ValueError, match=r"a\.tar holds none of the files that were expected in it"):
        archives.unpack(inside, inside.with_name("out"), is_wanted)
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "a.tar"]


def test_archives_larger_than_allowed_are_refused(tmp_path, monkeypatch):
    tar(tmp_path / "a.tar", member("L/metadata.csv"), member("L/wavs/a.wav"), contents=b"x" * 600)
    monkeypatch.setattr(archives, "MOST", 1000)
    with pytest.raises(ValueError, match=r"a\.tar: its files are more than"):
        archives.unpack(tmp_path / "a.tar", tmp_path / "out", is_wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    monkeypatch.setattr(archives, "MOST", 1200)
    assert (archives.unpack(tmp_path / "a.tar", tmp_path / "out", is_wanted) / "wavs" / "a.wav").stat().st_size == 600

"""Our reader of MATLAB files against SciPy's, and on damage that ends the process in SciPy's."""

import struct

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from flowsuite.images.mat_files import read_mat

TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "i8")
DRAW = np.random.default_rng(0)


def arrays() -> dict[str, np.ndarray]:
    found = {f"of_type_{name}": DRAW.integers(0, 100, (3, 5)).astype(name) for name in TYPES}
    return found | {
        "four": DRAW.integers(0, 256, (4, 3, 2, 7), dtype=np.uint8),
        "x": np.ones((1, 1)),
        "one": DRAW.random((1, 9)),
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_reads_as_scipy_does(compressed, tmp_path):
    path, written = tmp_path / "a.mat", arrays()
    others = {"text": "abc", "cell": np.array([1, "b"], dtype=object), "struct": {"a": 1}}
    savemat(path, others | written, do_compression=compressed)
    found, theirs = read_mat(path, tuple(written)), loadmat(path)
    assert found.keys() == written.keys()
    for name, array in written.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == theirs[name].dtype and found[name].flags.writeable
    for name in others:
        with pytest.raises(ValueError, match=rf"a.mat.*{name} is not an array of real numbers"):
            read_mat(path, (name,))
    with pytest.raises(ValueError, match=r"a\.mat: holds no array named absent"):
        read_mat(path, ("x", "absent"))


def test_big_endian(tmp_path):
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">2I", kind, len(data)) + data + bytes(-len(data) % 8)

    values = struct.pack(">6h", *range(6))
    parts = [(6, struct.pack(">2I", 10, 0)), (5, struct.pack(">2i", 2, 3)), (1, b"x"), (3, values)]
    body = b"".join(element(kind, data) for kind, data in parts)
    (tmp_path / "a.mat").write_bytes(
        b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + struct.pack(">2I", 14, len(body)) + body
    )
    assert read_mat(tmp_path / "a.mat", ["x"])["x"].tolist() == [[0, 2, 4], [1, 3, 5]]
    np.testing.assert_array_equal(loadmat(tmp_path / "a.mat")["x"], read_mat(tmp_path / "a.mat", ["x"])["x"])


def test_a_type_that_does_not_exist(tmp_path):
    """SciPy 1.17 ends the process on this file."""
    path = tmp_path / "a.mat"
    savemat(path, {"x": np.arange(40.0).reshape(5, 8)})
    data = path.read_bytes()
    at = data.index(struct.pack("<2I", 9, 320))
    path.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    with pytest.raises(ValueError, match=r"a\.mat: not a readable MATLAB v5 file .an element has type 0"):
        read_mat(path, ("x",))


def test_checksum_and_cuts(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"x": DRAW.random((30, 8))}, do_compression=True)
    data = path.read_bytes()
    for damaged in (data[:-4], data[:-1] + bytes([data[-1] ^ 1]), data[:200], data[:100]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.mat: not a readable MATLAB v5 file"):
            read_mat(path, ("x",))

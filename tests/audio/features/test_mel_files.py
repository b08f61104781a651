from __future__ import annotations

import numpy as np
import pytest
import torch

from flowsuite.audio.features.mel import MelSpectrogram
from flowsuite.audio.features.mel_files import read_mel
from flowsuite.audio.features.spec import A0
from tests.audio.speech import voice


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


@pytest.fixture
def mel():
    return MelSpectrogram(A0)(voice()[None])[0]


def write(path, content):
    if path.suffix == ".pt":
        torch.save(content, path)
    elif path.suffix == ".npz":
        np.savez(path, **content)
    else:
        np.save(path, content)
    return path


def test_every_format_and_orientation(tmp_path, mel):
    array = mel.numpy()
    contents = {
        "a.npy": array,
        "t.npy": array.T,
        "lead.npy": array[None],
        "big.npy": array.astype(">f8"),
        "one.npz": {"arr_0": array},
        "two.npz": {"mel": array.T, "wave": np.zeros(3)},
        "a.pt": mel.double(),
        "d.pt": {"mel": mel.T[None], "text": "hello"},
    }
    for name, content in contents.items():
        read = read_mel(write(tmp_path / name, content), A0)
        assert read.dtype == torch.float32 and read.is_contiguous()
        torch.testing.assert_close(read, mel)


WRONG = {
    "bands.npy": (np.zeros((64, 5), np.float32), r"expected a mel \(80, frames\) or its transpose, got \(64, 5\)"),
    "empty.npy": (np.zeros((80, 0), np.float32), "expected a mel"),
    "complex.npy": (np.zeros((80, 5), complex), "array of numbers"),
    "text.npy": (np.array(["a"]), "array of numbers"),
    "objects.npy": (np.array([Evil()], dtype=object), "not a readable .npy"),
    "nan.npy": (np.full((80, 5), np.nan), "400 NaN"),
    "log10.npy": (np.linspace(-5, 0.9, 80 * 60).reshape(80, 60), "log10"),
    "two.npz": ({"a": np.zeros(2), "b": np.zeros(2)}, "one of the name 'mel', got a, b"),
    "text.pt": ("hello", "array of numbers, got str"),
    "evil.pt": (Evil(), "not a readable .pt"),
    "bool.pt": (torch.zeros(80, 5, dtype=torch.bool), "real numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_named(tmp_path, name, capsys):
    content, expected = WRONG[name]
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=expected) as error:
        read_mel(path, A0)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert not capsys.readouterr().out


def test_missing_broken_and_unknown_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npy not found"):
        read_mel(tmp_path / "none.npy", A0)
    for name in ("a.npy", "a.npz", "a.pt"):
        for data in (b"", b"garbage"):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(ValueError, match=f"{name}: not a readable"):
                read_mel(tmp_path / name, A0)
    with pytest.raises(ValueError, match="expected a mel in a file of kind"):
        read_mel(tmp_path / "a.txt", A0)


def test_the_check_can_be_left_out(tmp_path):
    path = write(tmp_path / "a.npy", np.zeros((80, 60), np.float32))
    with pytest.raises(ValueError, match="not a mel of this spec"):
        read_mel(path, A0)
    assert read_mel(path, A0, check=False).shape == (80, 60)

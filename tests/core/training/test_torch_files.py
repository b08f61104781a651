"""Files of `torch.save`, and damaged ones."""

import struct

import pytest
import torch

from flowsuite.core.training.importing import read_weights
from flowsuite.core.training.torch_files import is_zip, load_torch


def test_both_formats(tmp_path):
    for zipped in (True, False):
        path = tmp_path / "a.pt"
        torch.save({"a": torch.arange(3)}, path, _use_new_zipfile_serialization=zipped)
        assert is_zip(path) == zipped and load_torch(path)["a"].tolist() == [0, 1, 2]


def test_an_archive_that_says_it_spans_disks(tmp_path):
    """Python's zipfile raises on it where it is only asked whether this is a zip."""
    path = tmp_path / "a.pt"
    torch.save({"a": torch.arange(3)}, path)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x06\x07")  # locator of the end of the archive: its last field is the number of disks
    data[at + 16 : at + 20] = struct.pack("<I", 9)
    path.write_bytes(data)
    assert is_zip(path)
    try:
        read_weights(path)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"a\.pt is refused"):
        read_weights(path)

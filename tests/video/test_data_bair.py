"""BAIR from its TFRecords: what is read is what was written, and damage is named by file and record."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
import torch

from flowsuite.core.data.tfrecord import masked_crc32c, read_record, record_offsets
from flowsuite.video.data import BAIR
from tests import tfrecords
from tests.video import containers


@pytest.fixture(scope="module")
def bair(tmp_path_factory):
    root = tmp_path_factory.mktemp("bair")
    return root, containers.write_bair(root)


def as_frames(video: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(video.transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize("camera", ["aux1", "main"])
def test_frames_are_those_written(bair, camera):
    root, written = bair
    data = BAIR(str(root), camera=camera, num_frames=5, context_frames=2, batch_size=4)
    batch = data.dataset("test").__getitems__([0, 1])
    view = ["aux1", "main"].index(camera)
    for k in range(2):
        assert torch.equal(batch.frames[k], as_frames(written["test/traj_0_to_1.tfrecords"][k, view, :5]))
    assert batch.label.tolist() == [-1, -1]
    assert (data.channels, data.size) == (3, (64, 64))


def test_last_two_train_files_are_held_out(bair):
    root, _ = bair
    data = BAIR(str(root))
    assert [path.name for path in data.files("train")] == ["traj_0_to_1.tfrecords", "traj_2_to_3.tfrecords"]
    assert [path.name for path in data.files("val")] == ["traj_4_to_5.tfrecords", "traj_6_to_7.tfrecords"]
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [4, 4, 2]


def test_windows_start_anywhere_or_as_the_reference_has_it(bair):
    root, written = bair
    video = as_frames(written["train/traj_0_to_1.tfrecords"][0, 0])

    def starts(**options) -> set[int]:
        dataset = BAIR(str(root), num_frames=2, context_frames=1, **options).dataset("train")
        found = set()
        for seed in range(40):
            torch.manual_seed(seed)
            window = dataset[0].frames
            found.add(next(t for t in range(14) if torch.equal(window, video[t : t + 2])))
        return found

    assert max(starts()) == 13
    assert max(starts(reference=True)) == 11
    assert starts(random_start=False) == {0}


def test_checksums_are_those_of_the_definition(tmp_path):
    assert tfrecords.crc32c(b"123456789") == 0xE3069283
    for data in (b"", b"a", bytes(range(256))):
        assert masked_crc32c(data) == int.from_bytes(tfrecords.masked(data, tfrecords.crc32c), "little")
    (tmp_path / "r").write_bytes(tfrecords.record(b"hello") + tfrecords.record(b""))
    offsets = record_offsets(tmp_path / "r", check=True)
    assert [read_record(tmp_path / "r", *where, "r") for where in offsets] == [b"hello", b""]


def damage(root, change) -> str:
    path = root / "softmotion30_44k" / "test" / "traj_0_to_1.tfrecords"
    content = bytearray(path.read_bytes())
    path.write_bytes(bytes(change(content)))
    return str(path)


def flipped(content: bytearray, position: int) -> bytearray:
    content[position] ^= 1
    return content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[:-100], "truncated in record 1"),
        (lambda c: c[: len(c) // 2 + 6], "truncated in record 1"),
        (lambda c: flipped(c, len(c) // 2 + 5000), "record 1: the data does not match its checksum"),
        (lambda c: flipped(c, len(c) - 1), "record 1: the data does not match its checksum"),
        (lambda c: flipped(c, len(c) // 2), "record 1: the length does not match its checksum"),
        (lambda c: b"hello", "not a TFRecord file, or truncated in record 0"),
        (lambda c: b"", r"traj_0_to_1\.tfrecords: holds no records"),
        (lambda c: tfrecords.record(b"\xff" * 8), "record 0: not a tf.train.Example"),
        (lambda c: tfrecords.record(tfrecords.example({"x": b"1"})), "record 0: has no frames 0/image_aux1/encoded"),
        (
            lambda c: tfrecords.record(tfrecords.example({"0/image_aux1/encoded": b"123"})),
            "record 0: expected 12288 bytes of 64x64 RGB in frame 0, got 3 bytes",
        ),
    ],
)
def test_damage_is_named(tmp_path, change, message):
    containers.write_bair(tmp_path, files=1, records=2, frames=2)
    path = damage(tmp_path, change)
    with pytest.raises(ValueError, match=message) as caught:
        BAIR(str(tmp_path), num_frames=2, context_frames=1).dataset("test").__getitems__([0, 1])
    assert path.rpartition("/")[0] in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"unpack bair_robot_pushing_dataset_v0\.tar"):
        BAIR(str(tmp_path)).dataset("train")
    containers.write_bair(tmp_path, files=2, records=1, frames=3)
    with pytest.raises(FileNotFoundError, match="train holds 2 files"):
        BAIR(str(tmp_path)).dataset("train")
    with pytest.raises(ValueError, match="record 0: the clip has 3 frames, fewer than the 13 of the window"):
        BAIR(str(tmp_path)).dataset("test")[0]
    with pytest.raises(ValueError, match="camera must be one of aux1, main"):
        BAIR(str(tmp_path), camera="left")
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(ImportError, match="pip install google-crc32c"):
        BAIR(str(tmp_path)).dataset("test")


def test_an_empty_file_among_good_ones_is_named(bair, tmp_path):
    root, _ = bair
    folder = shutil.copytree(root, tmp_path / "copy") / "softmotion30_44k" / "train"
    (folder / "traj_2_to_3.tfrecords").write_bytes(b"")
    data = BAIR(str(tmp_path / "copy"))
    assert len(data.dataset("test")) == 2
    with pytest.raises(ValueError, match=r"traj_2_to_3\.tfrecords: holds no records, an empty file"):
        data.dataset("train")

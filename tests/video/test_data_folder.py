"""Clips from files of every kind, and what happens with files that are wrong."""

from __future__ import annotations

import sys
import zipfile

import numpy as np
import pytest
import torch

from flowsuite.core.training.numpy_files import load_npz
from flowsuite.video import video_files
from flowsuite.video.data import KTH, VideoArray, VideoFolder
from flowsuite.video.data_folder import FileClips
from flowsuite.video.gif import write_gif
from flowsuite.video.video_files import ClipReader, list_clips
from tests.video import containers

VIDEO = containers.pixels(7, 16, 20, 3)
FRAMES = torch.from_numpy(VIDEO.transpose(0, 3, 1, 2).copy())
WRITERS = {
    "a.avi": lambda path: containers.write_video(path, VIDEO),
    "a.npy": lambda path: np.save(path, VIDEO),
    "a.npz": lambda path: np.savez(path, frames=VIDEO, other=np.zeros(3)),
    "a_folder": lambda path: containers.write_pictures(path, VIDEO),
}


@pytest.mark.parametrize("name", WRITERS)
def test_lossless_files_give_their_frames(tmp_path, name):
    WRITERS[name](tmp_path / name)
    (path,) = list_clips(tmp_path)
    assert torch.equal(ClipReader(size=None)(path), FRAMES)
    assert torch.equal(ClipReader(size=None, stride=3)(path), FRAMES[::3])
    assert ClipReader(size=(8, 8))(path).shape == (7, 3, 8, 8)


def test_gifs_give_their_frames_and_equal_neighbours(tmp_path):
    grey = torch.randint(0, 256, (4, 1, 9, 9), dtype=torch.uint8)
    video = grey[[0, 1, 1, 1, 2, 3, 3]]
    write_gif(tmp_path / "a.gif", video)
    assert torch.equal(ClipReader(channels=1, size=None)(tmp_path / "a.gif"), video)


def test_compressed_videos_are_close(tmp_path):
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    moving = np.stack([np.roll(ramp, k) for k in range(40)])
    frames = np.ascontiguousarray(np.broadcast_to(moving[:, None, :, None], (40, 48, 64, 3)))
    containers.write_video(tmp_path / "a.mp4", frames, "mpeg4")
    decoded = ClipReader(size=None)(tmp_path / "a.mp4")
    assert decoded.shape == (40, 3, 48, 64)
    assert (decoded.double() - torch.from_numpy(frames).permute(0, 3, 1, 2)).abs().mean() < 8
    grey = ClipReader(channels=1, size=(24, 24))(tmp_path / "a.mp4")
    assert grey.shape == (40, 1, 24, 24)


def test_resizing_crops_the_middle_or_squeezes():
    video = torch.zeros(1, 1, 32, 64, dtype=torch.uint8)
    video[..., 16:48] = 200
    assert ClipReader(1, (32, 32)).resize(video).unique().tolist() == [200]
    squeezed = ClipReader(1, (32, 32), crop=False).resize(video)
    assert squeezed[0, 0, 0, 0] == 0 and squeezed[0, 0, 0, 16] == 200


def test_splits_are_the_folders_or_drawn(tmp_path):
    for part, count in (("train", 6), ("test", 2)):
        for k in range(count):
            containers.write_pictures(tmp_path / part / "traj_0" / str(k), VIDEO)
    data = VideoFolder(str(tmp_path), size=8, num_frames=4, context_frames=1, val=2)
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [4, 2, 2]
    names = {split: {str(path) for path in data.clips(split).paths} for split in ("train", "val", "test")}
    assert not names["train"] & names["val"] and all("/test/" in name for name in names["test"])
    batch = data.dataset("train").__getitems__([0, 1])
    assert batch.frames.shape == (2, 4, 3, 8, 8)
    assert (data.channels, data.size) == (3, (8, 8))


def test_pictures_are_in_the_order_of_their_numbers(tmp_path):
    video = np.repeat(np.arange(12, dtype=np.uint8), 48).reshape(12, 4, 4, 3)
    containers.write_pictures(tmp_path / "c", video)
    assert ClipReader(size=None)(tmp_path / "c")[:, 0, 0, 0].tolist() == list(range(12))


def test_kth_splits_by_person(tmp_path):
    for person in (1, 16, 17, 21, 25):
        for action in ("walking", "boxing"):
            containers.write_video(tmp_path / action / f"person{person:02d}_{action}_d1_uncomp.avi", VIDEO)
    data = KTH(str(tmp_path), num_frames=5, context_frames=2)
    assert [len(data.clips(split)) for split in ("train", "val", "test")] == [4, 2, 4]
    assert len(KTH(str(tmp_path), actions=["walking"]).clips("train")) == 2
    assert data.dataset("test")[0].frames.shape == (5, 1, 64, 64)
    with pytest.raises(FileNotFoundError, match=r"no videos of persons 1 to 16 \(train\)"):
        KTH(str(tmp_path / "walking"), actions=["running"]).clips("train")


@pytest.mark.parametrize("layout", ["NTHWC", "NTCHW", "NTHW", "TNHW"])
def test_arrays_of_clips(tmp_path, layout):
    videos = containers.pixels(10, 5, 8, 12, 3)
    stored = {
        "NTHWC": videos,
        "NTCHW": videos.transpose(0, 1, 4, 2, 3),
        "NTHW": videos[..., 0],
        "TNHW": videos[..., 0].transpose(1, 0, 2, 3),
    }[layout]
    path = tmp_path / "v.npy"
    np.save(path, stored)
    data = VideoArray(str(path), val=2, test=3, num_frames=4, context_frames=1, time_first=layout == "TNHW")
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [5, 2, 3]
    row = data.clips("test").rows[1]
    wanted = torch.from_numpy(videos[row, :4].transpose(0, 3, 1, 2).copy())
    assert torch.equal(data.dataset("test")[1].frames, wanted if layout.endswith(("C", "CHW")) else wanted[:, :1])


def test_archives_with_their_own_splits(tmp_path):
    train, test = containers.pixels(4, 5, 8, 8, 3), containers.pixels(2, 5, 8, 8, 3, seed=1)
    np.savez(tmp_path / "v.npz", train_videos=train, test_videos=test)
    data = VideoArray(str(tmp_path / "v.npz"), val=1, num_frames=5, context_frames=1)
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [3, 1, 2]
    assert torch.equal(data.dataset("test")[1].frames, torch.from_numpy(test[1].transpose(0, 3, 1, 2).copy()))
    np.savez(tmp_path / "w.npz", a=train, b=test)
    with pytest.raises(ValueError, match="no array train_videos, it has a, b"):
        VideoArray(str(tmp_path / "w.npz")).clips("train")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 8, 8, 3), np.float32), "expected uint8 frames with values 0..255, got float32"),
        (np.zeros((3, 8, 8, 2), np.uint8), "with C = 1 or 3, got shape"),
        (np.zeros((3, 8), np.uint8), "with C = 1 or 3, got shape"),
        (np.zeros((0, 8, 8, 3), np.uint8), "with C = 1 or 3, got shape"),
        (np.zeros((3, 8, 8), np.uint8), "expected 3 channels, got 1"),
        (np.array([{}]), "not a readable .npy of numbers"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, array, message):
    path = tmp_path / "a.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match=message) as caught:
        ClipReader()(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.gif", "a.npy", "a.npz"])
@pytest.mark.parametrize("content", [b"", b"nothing that anybody could read" * 10])
def test_damaged_files_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read|not a readable|no frames") as caught:
        ClipReader()(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_truncated_gif_and_picture_are_named(tmp_path):
    write_gif(tmp_path / "a.gif", torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8))
    content = (tmp_path / "a.gif").read_bytes()
    for kept in range(0, len(content) - 2, len(content) // 40):
        (tmp_path / "a.gif").write_bytes(content[:kept])
        with pytest.raises(ValueError, match=r"a\.gif: cannot be read as a GIF, truncated\?") as caught:
            ClipReader(size=None)(tmp_path / "a.gif")
        assert "\n" not in str(caught.value)
    containers.write_pictures(tmp_path / "c", VIDEO)
    content = (tmp_path / "c" / "3.png").read_bytes()
    (tmp_path / "c" / "3.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"3\.png: cannot be read as an image"):
        ClipReader()(tmp_path / "c")


def test_frames_of_two_sizes_are_named(tmp_path):
    containers.write_pictures(tmp_path / "c", VIDEO)
    (tmp_path / "c" / "9.png").write_bytes(b"")
    containers.write_pictures(tmp_path / "d", VIDEO[:, :8])
    (tmp_path / "d" / "2.png").rename(tmp_path / "c" / "9.png")
    with pytest.raises(ValueError, match=r"c: frames of \(16, 20, 3\) and \(8, 20, 3\) in one clip"):
        ClipReader()(tmp_path / "c")
    (tmp_path / "c" / "9.png").unlink()
    clips = FileClips(list_clips(tmp_path), ClipReader(size=None))
    with pytest.raises(ValueError, match=r"d: expected uint8 frames \(2, 3, 16, 20\)"):
        clips.windows([0, 1], 2, 0)


def test_short_clips_are_named(tmp_path):
    containers.write_video(tmp_path / "short.avi", VIDEO)
    with pytest.raises(ValueError, match=r"short\.avi: the clip has 7 frames, fewer than the 9 of the window"):
        FileClips(list_clips(tmp_path), ClipReader()).windows([0], 9, None)


def test_bombs_are_not_expanded(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("frames.npy", bytes(10_000_000))
    with pytest.raises(ValueError, match=r"expands to 0\.0 GiB, more than"):
        load_npz(tmp_path / "a.npz", most=1000)
    with pytest.raises(ValueError, match="expands to"):
        VideoArray(str(tmp_path / "a.npz"), max_gib=0.001).clips("train")
    containers.write_video(tmp_path / "a.avi", VIDEO)
    with pytest.raises(ValueError, match="too large, 7 frames are"):
        monkeypatch.setattr(video_files, "CHUNK", 1)
        ClipReader(size=None, most=6 * VIDEO[0].size)(tmp_path / "a.avi")
    monkeypatch.setattr(video_files, "LARGEST_FRAME", 100)
    with pytest.raises(ValueError, match="too large, frames of 16x20"):
        ClipReader()(tmp_path / "a.avi")


def test_decoded_clips_are_kept_while_there_is_room(tmp_path):
    for k in range(3):
        np.save(tmp_path / f"{k}.npy", VIDEO)
    reads = []

    def read(path):
        reads.append(path.name)
        return FRAMES

    clips = FileClips(list_clips(tmp_path), read, most=2 * FRAMES.numel())
    for _ in range(3):
        clips.windows([0, 1, 2], 2, 0)
    assert reads.count("0.npy") == reads.count("1.npy") == 1 and reads.count("2.npy") > 1


def test_missing_decoder_is_named(tmp_path, monkeypatch):
    containers.write_video(tmp_path / "a.avi", VIDEO)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match="video files need the package av: pip install av"):
        ClipReader()(tmp_path / "a.avi")


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no clips"):
        VideoFolder(str(tmp_path)).clips("train")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        VideoFolder(str(tmp_path / "no")).clips("train")
    with pytest.raises(ValueError, match="channels must be 1"):
        VideoFolder(str(tmp_path), channels=2)

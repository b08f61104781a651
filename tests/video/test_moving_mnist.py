"""Moving digits: they stay in the picture, bounce as they should, and depend on their number alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowsuite.video.data import MovingMNIST
from flowsuite.video.moving_mnist import bounce, moving_digits, trajectories
from tests.video import containers

BLOCK = torch.full((3, 32, 32), 100, dtype=torch.uint8)


def paths(seed: int, deterministic: bool, n: int = 200, frames: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(n, 2 * (5 + 4 * frames), generator=generator, dtype=torch.float64)
    return trajectories(uniform, 2, frames, 32, deterministic)


def test_digits_stay_inside_at_most_four_pixels_a_frame():
    for deterministic in (False, True):
        places = paths(0, deterministic)
        assert places.min() == 0 and places.max() == 31
        assert places.diff(dim=1).abs().max() == 4


def test_starts_and_speeds_are_uniform():
    places = paths(1, False, n=4000, frames=2)
    start = places[:, 0].reshape(-1)
    assert torch.bincount(start, minlength=32).min() > 16000 / 32 * 0.7
    free = ((places[:, 0] >= 4) & (places[:, 0] < 28)).all(-1)
    speed = (places[:, 1] - places[:, 0])[free].reshape(-1) + 4
    counts = torch.bincount(speed, minlength=9).double()
    assert ((counts / counts.mean() - 1).abs() < 0.15).all()


def test_walls_send_digits_back():
    position = torch.tensor([[[-2, 10], [33, 10], [10, -1], [10, 32], [10, 10]]])
    velocity = torch.tensor([[[-3, 2], [4, 2], [1, -4], [1, 3], [2, -2]]])
    for draws in (torch.zeros(1, 5, 4), torch.full((1, 5, 4), 0.999)):
        moved, new = bounce(position, velocity, 32, draws)
        assert moved.tolist() == [[[0, 10], [31, 10], [10, 0], [10, 31], [10, 10]]]
        along = [new[0, 0, 0], -new[0, 1, 0], new[0, 2, 1], -new[0, 3, 1]]
        assert all(1 <= int(speed) <= 4 for speed in along)
        assert new[0, 0, 1] == new[0, 2, 0] == (-4 if draws[0, 0, 0] == 0 else 4)
        assert new[0, 4].tolist() == [2, -2]
    _, reflected = bounce(position, velocity, 32, None)
    assert reflected.tolist() == [[[3, 2], [-4, 2], [1, 4], [1, -3], [2, -2]]]


def test_digits_add_up_and_are_where_they_should_be():
    video = moving_digits(BLOCK, 3, range(50), 10, digits=2)
    assert set(video.unique().tolist()) == {0, 100, 200}
    assert (video.long().sum((2, 3, 4)) == 2 * 100 * 32 * 32).all()
    three = moving_digits(BLOCK, 3, range(50), 10, digits=3)
    assert three.max() == 255, "sums are clipped to white"


def test_a_number_gives_the_same_video_whatever_the_batch_and_length():
    whole = moving_digits(BLOCK, 0, range(9), 12)
    assert torch.equal(moving_digits(BLOCK, 0, [4, 2], 12), whole[[4, 2]])
    assert torch.equal(
        moving_digits(BLOCK, 0, [4, 2], 5, start=torch.tensor([3, 7])), torch.stack([whole[4, 3:8], whole[2, 7:12]])
    )
    assert torch.equal(moving_digits(BLOCK, 0, range(9), 4, length=100), whole[:, :4])


def test_embedded_digits_need_no_files():
    data = MovingMNIST(num_frames=4, context_frames=2, batch_size=8, eval_frames=6)
    batch = next(iter(data.train_dataloader()))
    assert batch.frames.shape == (8, 4, 1, 64, 64) and batch.frames.dtype == torch.uint8 and batch.frames.max() > 200
    assert (batch.label == -1).all()
    assert next(iter(data.test_dataloader())).frames.shape[1] == 6
    assert (data.channels, data.size) == (1, (64, 64))


def test_mnist_files_are_read(tmp_path):
    written = containers.write_mnist(tmp_path)
    data = MovingMNIST(str(tmp_path), num_frames=3, context_frames=1)
    assert [len(data.clips(split).images) for split in ("train", "val", "test")] == [10, 5000, 10]
    image = data.clips("test").images[0].double()
    assert image.shape == (32, 32) and abs(image.mean() - written["t10k"][0].mean()) < 3
    assert data.dataset("train")[0].frames.shape == (3, 1, 64, 64)
    with pytest.raises(FileNotFoundError, match="images-idx3-ubyte not found: set root"):
        MovingMNIST(str(tmp_path / "nothing")).dataset("train")


def test_the_test_file_of_moving_mnist_is_read(tmp_path):
    path = tmp_path / "mnist_test_seq.npy"
    array = containers.pixels(20, 6, 64, 64)
    np.save(path, array)
    data = MovingMNIST(test_file=str(path), num_frames=20, context_frames=10)
    test = data.dataset("test")
    assert len(test) == 6 and torch.equal(test[4].frames[:, 0], torch.from_numpy(array[:, 4]))
    with pytest.raises(ValueError, match="video 0: the clip has 20 frames, fewer than the 30"):
        MovingMNIST(test_file=str(path), num_frames=30).dataset("test")[0]
    np.save(path, array.astype(np.float32))
    with pytest.raises(ValueError, match=r"expected uint8 \(frames, videos, H, W\), got float32"):
        MovingMNIST(test_file=str(path)).dataset("test")
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"not a readable \.npy of numbers"):
        MovingMNIST(test_file=str(path)).dataset("test")

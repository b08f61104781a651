"""Moving shapes: what is drawn is what the parameters say, and a number gives the same video whatever the batch."""

from __future__ import annotations

import math

import pytest
import torch

from flowsuite.video.counter import counter_uniforms
from flowsuite.video.data import MovingShapes, VideoBatch
from flowsuite.video.shapes import COLOURS, DIRECTIONS, KINDS, Shapes, draw_shapes, render


def every_shape(size: float = 1.2) -> Shapes:
    """All kinds, colours and directions, of one size."""
    sizes = torch.arange(len(KINDS)), torch.arange(len(COLOURS)), torch.arange(len(DIRECTIONS))
    kind, colour, direction = torch.cartesian_prod(*sizes).T
    return Shapes(kind, colour, torch.full((len(kind),), size), direction)


def centroids(alpha: torch.Tensor) -> torch.Tensor:
    """(..., 2) of (..., H, W) weights: x to the right, y upwards, in pixels."""
    height, width = alpha.shape[-2:]
    mass = alpha.sum((-1, -2))
    x = (alpha.sum(-2) * (torch.arange(width) + 0.5)).sum(-1) / mass
    y = (alpha.sum(-1) * (height - torch.arange(height) - 0.5)).sum(-1) / mass
    return torch.stack([x, y], -1)


def test_area_is_that_of_the_shape():
    shapes = every_shape()
    video = render(shapes, 1, pixels=64, background="black").double()
    peak = torch.tensor(tuple(COLOURS.values()))[shapes.colour].amax(-1)
    area = video.amax(2).sum((1, 2, 3)) / peak / 6.4**2
    expected = torch.tensor([math.pi, 4.0, math.sqrt(3)], dtype=torch.float64)[shapes.kind] * 1.2**2
    assert torch.allclose(area, expected, rtol=0.01)


def test_shapes_move_by_a_unit_per_frame_in_their_direction():
    shapes = every_shape()
    centre = centroids(render(shapes, 4, pixels=64).double().sum(2))
    step = centre.diff(dim=1) / 6.4
    expected = torch.tensor(DIRECTIONS, dtype=torch.float64)[shapes.direction]
    assert torch.allclose(step, expected[:, None].expand_as(step), atol=0.03)
    round_or_square = shapes.kind < 2
    assert torch.allclose(centre[round_or_square, 0], torch.tensor(32.0, dtype=torch.float64), atol=0.05)


def test_colours_and_backgrounds():
    shapes = every_shape()
    grey = render(shapes, 1, pixels=32, background="grey")[:, 0]
    assert (grey[:, :, 0, 0] == 128).all()
    wanted = torch.tensor(tuple(COLOURS.values()))[shapes.colour].add(0.5).to(torch.uint8)
    assert torch.equal(grey[:, :, 16, 16], wanted)
    black = render(shapes, 1, pixels=32)[:, 0]
    assert (black[:, :, 0, 0] == 0).all() and torch.equal(black[:, :, 16, 16], wanted)


def test_edges_are_smooth():
    circle = Shapes(torch.tensor([0]), torch.tensor([2]), torch.tensor([1.3]), torch.tensor([0]))
    assert len(render(circle, 1, pixels=64)[0, 0, 0].unique()) > 10


def test_a_shape_that_leaves_is_gone_and_never_wraps_around():
    video = render(every_shape(), 40, pixels=32)
    assert not video[:, 8:].any()
    moving_right = every_shape().direction == 0
    assert not video[moving_right, :, :, :, :8].any()


def test_numbers_give_the_same_video_whatever_the_batch():
    data = MovingShapes(pixels=16, num_frames=3)
    whole = data.dataset("train").__getitems__(list(range(20)))
    some = data.dataset("train").__getitems__([7, 3, 19])
    assert torch.equal(some.frames, whole.frames[[7, 3, 19]]) and torch.equal(some.label, whole.label[[7, 3, 19]])
    one = data.dataset("train")[3]
    assert torch.equal(one.frames, whole.frames[3]) and one.label == whole.label[3]
    clip = data.clips("train").clip(3)
    assert torch.equal(clip.read(1, 2), whole.frames[3, 1:]) and clip.label == whole.label[3]


def test_splits_and_seeds_differ_and_attributes_are_uniform():
    shapes = {seed: draw_shapes(seed, range(4000)) for seed in (0, 1)}
    assert not torch.equal(shapes[0].size, shapes[1].size)
    for field, n in ((shapes[0].kind, 3), (shapes[0].colour, 6), (shapes[0].direction, 8)):
        counts = torch.bincount(field, minlength=n).double()
        assert ((counts - 4000 / n).abs() < 5 * math.sqrt(4000 / n)).all()
    assert 0.5 <= shapes[0].size.min() < 0.51 and 1.49 < shapes[0].size.max() <= 1.5
    data = MovingShapes(pixels=16)
    assert not torch.equal(
        data.dataset("train").__getitems__(range(8)).label, data.dataset("val").__getitems__(range(8)).label
    )


def test_uniforms_do_not_repeat_in_neighbouring_rows():
    numbers = counter_uniforms(5, range(1000), 4)
    assert len(set(numbers.ravel().tolist())) == 4000 and numbers.min() >= 0 and numbers.max() < 1
    assert torch.equal(counter_uniforms(5, [7], 9)[:, :4], numbers[7:8])
    correlation = torch.corrcoef(torch.cat([numbers[1:], numbers[:-1]], 1).T)
    assert (correlation - torch.eye(8)).abs().max() < 0.15


def test_loader_gives_batches_of_windows():
    data = MovingShapes(pixels=16, num_frames=2, clip_frames=4, batch_size=32, videos=64, eval_frames=3)
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, VideoBatch)
    assert batch.frames.shape == (32, 2, 3, 16, 16) and batch.frames.dtype == torch.uint8
    middle = centroids(batch.frames.double().sum(2)[:, 0])
    assert ((middle - 8).abs().amax(-1) > 1).any(), "windows start anywhere"
    still = next(iter(data.val_dataloader()))
    assert still.frames.shape[1] == 3
    assert (data.channels, data.size, data.num_frames, data.context_frames) == (3, (16, 16), 2, 1)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="background must be one of black, grey, got 'white'"):
        MovingShapes(background="white")
    with pytest.raises(ValueError, match="pixels must be at least 1, got 0"):
        MovingShapes(pixels=0)
    with pytest.raises(ValueError, match="context_frames 3, num_frames 3"):
        MovingShapes(context_frames=3)
    data = MovingShapes(clip_frames=2, num_frames=3)
    with pytest.raises(ValueError, match="shape 4: the clip has 2 frames, fewer than the 3 of the window"):
        data.dataset("train")[4]

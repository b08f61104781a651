"""Stochastic Moving MNIST: digits that bounce off the walls at a new speed each time (SVG, arXiv 1802.07687)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flowsuite.video.counter import counter_uniforms

FASTEST = 4  # pixels per frame along an axis
START, WALL = 5, 4  # random numbers of a digit: at the start, and in every frame


def integers(uniform: Tensor, low: int, high: int) -> Tensor:
    """Uniform numbers in [0, 1) to integers `low` to `high`, both included."""
    return low + (uniform * (high - low + 1)).long()


def bounce(position: Tensor, velocity: Tensor, room: int, draws: Tensor | None) -> tuple[Tensor, Tensor]:
    """What the walls do to digits: positions clamped to [0, room), and new velocities where a wall was hit.

    As in SVG's code one wall of each axis is looked at, rows first. The velocity along the axis is drawn anew, 1 to 4
    away from the wall, and the other one from -4 to 4; or it is reflected and the other is kept.

    Args:
        position, velocity: (B, D, 2) integers, rows and columns.
        room: number of places along an axis.
        draws: (B, D, 4) uniform numbers, None to reflect.
    """
    for axis in (0, 1):
        low, high = position[..., axis] < 0, position[..., axis] >= room
        hit = low | high
        along, across = velocity[..., axis], velocity[..., 1 - axis]
        if draws is None:
            along = torch.where(hit, -along, along)
        else:
            speed = integers(draws[..., 2 * axis], 1, FASTEST)
            along = torch.where(low, speed, torch.where(high, -speed, along))
            across = torch.where(hit, integers(draws[..., 2 * axis + 1], -FASTEST, FASTEST), across)
        velocity = torch.stack([along, across] if axis == 0 else [across, along], -1)
    return position.clamp(0, room - 1), velocity


def trajectories(uniform: Tensor, digits: int, num_frames: int, room: int, deterministic: bool) -> Tensor:
    """(B, T, D, 2) rows and columns of the upper left corners of the digits.

    Args:
        uniform: (B, START * D + WALL * D * T) numbers in [0, 1), of which the first of every digit chooses its image.
        digits: D.
        num_frames: T.
        room: places along an axis: side of the picture minus side of a digit.
        deterministic: reflect at walls.
    """
    b = len(uniform)
    start = uniform[:, : START * digits].view(b, digits, START)
    walls = uniform[:, START * digits :].view(b, num_frames, digits, WALL)
    position, velocity = integers(start[..., 1:3], 0, room - 1), integers(start[..., 3:5], -FASTEST, FASTEST)
    places = []
    for t in range(num_frames):
        position, velocity = bounce(position, velocity, room, None if deterministic else walls[:, t])
        places.append(position)
        position = position + velocity
    return torch.stack(places, 1)


def moving_digits(
    images: Tensor,
    seed: int,
    indices: Sequence[int],
    num_frames: int,
    start: Tensor | int = 0,
    length: int | None = None,
    pixels: int = 64,
    digits: int = 2,
    deterministic: bool = False,
) -> Tensor:
    """(B, T, 1, H, W) uint8 videos; video i is a function of (seed, i) and of the images alone.

    Args:
        images: (N, S, S) uint8 digits.
        seed: of the set.
        indices: numbers of the videos.
        num_frames: T.
        start: number of the first frame, for all or for each video (B,).
        length: frames that the digits are followed for; at least start + T.
        pixels: H = W.
        digits: in a video; where they overlap they add up, clipped to white.
        deterministic: digits are reflected at walls.
    """
    b, side = len(indices), images.shape[-1]
    length = int(torch.as_tensor(start).max()) + num_frames if length is None else length
    uniform = counter_uniforms(seed, indices, digits * (START + WALL * length))
    places = trajectories(uniform, digits, length, pixels - side, deterministic)
    when = torch.as_tensor(start).reshape(-1, 1).expand(b, 1) + torch.arange(num_frames)
    places = places[torch.arange(b)[:, None], when]
    chosen = images[integers(uniform[:, : START * digits : START], 0, len(images) - 1)]
    canvas = torch.zeros(b, num_frames, pixels, pixels, dtype=torch.int16)
    video, frame = torch.arange(b)[:, None, None, None], torch.arange(num_frames)[:, None, None]
    for k in range(digits):
        rows, columns = (places[:, :, k, axis, None] + torch.arange(side) for axis in (0, 1))
        canvas[video, frame, rows[..., None], columns[..., None, :]] += chosen[:, None, k].short()
    return canvas.clamp_max_(255).to(torch.uint8)[:, :, None]

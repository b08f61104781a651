"""The Stochastic Movement Dataset: one shape that moves in one of eight directions, drawn on the fly.

The parameters are those of the official generator of VideoFlow (arXiv 1903.01434): a canvas of 10 x 10 units, y
upwards, a shape of random kind, colour and size that starts at (5, 5) and moves by one unit per frame along each axis
of its direction, so that diagonals are faster by sqrt 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from flowsuite.video.counter import counter_uniforms

UNITS = 10.0  # width and height of the canvas
CENTRE = 5.0  # where shapes start, along both axes
SIZES = (0.5, 1.5)  # of shapes, in units: radius, or half of a side
KINDS = ("circle", "square", "triangle")
COLOURS = {
    "blue": (0.0, 0.0, 255.0),
    "green": (0.0, 127.5, 0.0),
    "red": (255.0, 0.0, 0.0),
    "cyan": (0.0, 191.25, 191.25),
    "magenta": (191.25, 0.0, 191.25),
    "yellow": (191.25, 191.25, 0.0),
}
# Label k moves towards the angle k * 45 degrees, counted from the right, anti-clockwise; (x, y), y upwards.
DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
BACKGROUNDS = {"black": 0, "grey": 128}


class Shapes(NamedTuple):
    """B moving shapes.

    Attributes:
        kind: (B,) int64, of `KINDS`.
        colour: (B,) int64, of `COLOURS`.
        size: (B,) float32, in units.
        direction: (B,) int64, of `DIRECTIONS`.
    """

    kind: Tensor
    colour: Tensor
    size: Tensor
    direction: Tensor


def draw_shapes(seed: int, indices: Sequence[int]) -> Shapes:
    """The shapes with these numbers: kind, colour, size and direction are independent and uniform."""
    uniform = counter_uniforms(seed, indices, 4)
    kind, colour, direction = (
        (uniform[:, column] * count).long()
        for column, count in ((0, len(KINDS)), (1, len(COLOURS)), (2, len(DIRECTIONS)))
    )
    size = SIZES[0] + (SIZES[1] - SIZES[0]) * uniform[:, 3]
    return Shapes(kind, colour, size.float(), direction)


def positions(shapes: Shapes, start: Tensor | int, num_frames: int, speed: float = 1.0) -> Tensor:
    """(B, T, 2) centres (x, y) in units, frames `start` (a number, or (B,)) to `start + num_frames - 1`."""
    steps = torch.as_tensor(start).reshape(-1, 1) + torch.arange(num_frames)
    velocity = speed * torch.tensor(DIRECTIONS, dtype=torch.float32)[shapes.direction]
    return CENTRE + steps[..., None] * velocity[:, None]


def half_width(kind: Tensor, size: Tensor, y: Tensor) -> Tensor:
    """Half the width of a shape at the height y above its centre, in units, 0 outside; all arguments broadcast.

    A circle of radius s, a square of half side s, or a triangle with corners (-s, -s), (0, s (sqrt 3 - 1)), (s, -s).
    All are convex and symmetric: at the height y they cover the x in [-w(y), w(y)].
    """
    circle = (size * size - y * y).clamp_min(0).sqrt()
    square = torch.where(y.abs() <= size, size, 0.0)
    triangle = torch.where(y >= -size, size - (y + size) / math.sqrt(3), 0.0).clamp_min(0)
    return torch.where(kind == 0, circle, torch.where(kind == 1, square, triangle))


def coverage(shapes: Shapes, centres: Tensor, pixels: int, supersample: int = 8) -> tuple[Tensor, Tensor]:
    """The share of every pixel's area that is in the shape, in patches around the shapes that are as wide as the
    largest one: exact along the rows, and the mean of `supersample` lines in each row of pixels.

    Args:
        shapes: B shapes.
        centres: (B, T, 2) in units.
        pixels: H = W.
        supersample: lines in a row of pixels.

    Returns:
        patches (B, T, P, P), and row and column of their upper left corners (B, T, 2), row 0 at the top.
    """
    b, t = centres.shape[:2]
    scale = pixels / UNITS
    patch = math.ceil(2 * SIZES[1] * scale) + 2
    middle = torch.stack([pixels - centres[..., 1] * scale, centres[..., 0] * scale], -1)
    corner = (middle - patch / 2).floor()
    down, right = ((corner - middle)[..., axis, None] for axis in (0, 1))
    y = -(down + (torch.arange(patch * supersample) + 0.5) / supersample) / scale
    width = scale * half_width(shapes.kind.view(b, 1, 1), shapes.size.view(b, 1, 1), y)[..., None]
    edge = (right + torch.arange(patch))[:, :, None]
    covered = (torch.minimum(edge + 1, width) - torch.maximum(edge, -width)).clamp_min_(0)
    return covered.view(b, t, patch, supersample, patch).mean(3), corner.long()


def paste(patches: Tensor, corner: Tensor, pixels: int, ground: int) -> Tensor:
    """(N, C, H, W) pictures of one value with the patches (N, C, P, P) at the places (N, 2), cut at the borders."""
    n, channels, side = patches.shape[:3]
    corner = corner.clamp(-side, pixels) + side  # a shape that has left the picture is kept just beside it
    canvas = patches.new_full((n, channels, pixels + 2 * side, pixels + 2 * side), ground)
    rows, columns = (corner[:, axis, None] + torch.arange(side) for axis in (0, 1))
    canvas[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]] = patches.permute(0, 2, 3, 1)
    return canvas[:, :, side:-side, side:-side]


def render(
    shapes: Shapes,
    num_frames: int,
    start: Tensor | int = 0,
    pixels: int = 64,
    background: str = "black",
    speed: float = 1.0,
    supersample: int = 8,
) -> Tensor:
    """(B, T, 3, H, W) uint8 videos of moving shapes; a shape that leaves the picture is gone.

    Args:
        shapes: B shapes.
        num_frames: T.
        start: number of the first frame, for all or for each video (B,).
        pixels: H = W.
        background: "black" as in the official generator, or "grey" (128) as in the paper.
        speed: units per frame along an axis.
        supersample: lines in a row of pixels, for smooth edges.
    """
    alpha, corner = coverage(shapes, positions(shapes, start, num_frames, speed), pixels, supersample)
    colour = torch.tensor(tuple(COLOURS.values()))[shapes.colour].view(-1, 1, 3, 1, 1)
    ground = BACKGROUNDS[background]
    patches = (ground + alpha[:, :, None] * (colour - ground)).add_(0.5).to(torch.uint8)
    pictures = paste(patches.flatten(0, 1), corner.flatten(0, 1), pixels, ground)
    return pictures.reshape(*alpha.shape[:2], 3, pixels, pixels)

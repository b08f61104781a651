"""Videos to look at: GIFs, videos side by side with coloured borders, contact sheets."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.training.files import atomic_write
from flowsuite.core.training.pictures import grid

GIVEN, GENERATED = (0, 160, 0), (220, 0, 0)  # colours of the borders
TITLE_HEIGHT = 14


def check_frames(frames: Tensor) -> Tensor:
    """`frames` if they are uint8 (T, 1 or 3, H, W)."""
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] not in (1, 3) or not frames.numel():
        raise ValueError(f"expected uint8 frames (T, 1 or 3, H, W), got {frames.dtype} {tuple(frames.shape)}")
    return frames


def to_palette(frame: np.ndarray):
    """(H, W, 1 or 3) uint8 to a PIL image for a GIF: exact up to 256 colours, else the 256 that fit it best."""
    from PIL import Image

    if frame.shape[-1] == 1:
        return Image.fromarray(frame[..., 0])
    image = Image.fromarray(frame)
    colours, index = np.unique(frame.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colours) > 256:
        best = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        return image.quantize(palette=best, dither=Image.Dither.FLOYDSTEINBERG)
    exact = Image.fromarray(index.reshape(frame.shape[:2]).astype(np.uint8), "P")
    exact.putpalette(np.pad(colours, ((0, 256 - len(colours)), (0, 0))).tobytes())
    return exact


def encode_gif(frames: Tensor, fps: float = 8) -> bytes:
    """(T, 1 or 3, H, W) uint8 to the bytes of a GIF that repeats for ever; equal neighbours become one longer frame.

    Args:
        frames: the video.
        fps: frames per second; a GIF counts hundredths of seconds, and viewers are slow below two of them.
    """
    if not 0 < fps <= 50:
        raise ValueError(f"fps must be above 0 and at most 50, got {fps}")
    pictures = [to_palette(frame) for frame in check_frames(frames).cpu().permute(0, 2, 3, 1).contiguous().numpy()]
    buffer = io.BytesIO()
    duration = 10 * max(2, round(100 / fps))
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=duration, loop=0, optimize=False
    )
    return buffer.getvalue()


def write_gif(path: str | Path, frames: Tensor, fps: float = 8) -> Path:
    """Writes (T, 1 or 3, H, W) uint8 as a GIF, atomically."""
    data = encode_gif(frames, fps)
    with atomic_write(path) as file:
        file.write(data)
    return Path(path)


def enlarge_video(frames: Tensor, at_least: int) -> Tensor:
    """(T, C, H, W) with every pixel repeated, until the longer side has about `at_least` pixels."""
    factor = max(1, round(at_least / max(frames.shape[-2:])))
    return frames.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def with_border(frames: Tensor, given: int, width: int = 2) -> Tensor:
    """(T, 3, H, W) in a frame that is green around the first `given` frames and red around the others."""
    bordered = F.pad(frames.expand(-1, 3, -1, -1), (width,) * 4)
    colours = torch.tensor(GENERATED, dtype=torch.uint8).repeat(len(frames), 1)
    colours[:given] = torch.tensor(GIVEN, dtype=torch.uint8)
    mask = F.pad(torch.zeros(frames.shape[-2:], dtype=torch.bool), (width,) * 4, value=True)
    return torch.where(mask, colours[:, :, None, None], bordered)


def title_strip(title: str, width: int) -> Tensor:
    """(3, TITLE_HEIGHT, width): black letters on white, cut at the right."""
    from PIL import Image, ImageDraw

    strip = Image.new("RGB", (width, TITLE_HEIGHT), "white")
    ImageDraw.Draw(strip).text((2, 1), title, fill="black")
    return torch.from_numpy(np.array(strip)).permute(2, 0, 1)


def side_by_side(
    videos: Sequence[Tensor],
    titles: Sequence[str] | None = None,
    given: Sequence[int | None] | None = None,
    at_least: int = 96,
    gap: int = 4,
) -> Tensor:
    """Videos in a row, as one.

    Args:
        videos: (T, C, H, W) uint8, all of one height and length.
        titles: a line above each.
        given: how many first frames of each are given, with a green border, the others being generated, with a red
            one; None for no border.
        at_least: repeat pixels until videos are about that large.
        gap: white pixels between them.

    Returns:
        (T, 3, H', W') uint8.
    """
    if not videos or len({(len(video), *video.shape[-2:]) for video in map(check_frames, videos)}) != 1:
        raise ValueError(f"expected videos of one size and length, got {[tuple(video.shape) for video in videos]}")
    for name, values in (("titles", titles), ("given", given)):
        if values is not None and len(values) != len(videos):
            raise ValueError(f"expected one of {name} for each of the {len(videos)} videos, got {len(values)}")
    shown = []
    for i, video in enumerate(videos):
        picture = enlarge_video(video.cpu(), at_least)
        first = None if given is None else given[i]
        picture = (
            F.pad(picture.expand(-1, 3, -1, -1), (2,) * 4, value=255) if first is None else with_border(picture, first)
        )
        if titles is not None:
            strip = title_strip(titles[i], picture.shape[-1]).expand(len(picture), -1, -1, -1)
            picture = torch.cat([strip, picture], 2)
        shown.append(F.pad(picture, (0, gap if i + 1 < len(videos) else 0), value=255))
    return torch.cat(shown, -1)


def context_truth_samples(truth: Tensor, samples: Tensor, context_frames: int, at_least: int = 96) -> Tensor:
    """The true video and samples of its continuation, side by side.

    Args:
        truth: (T, C, H, W) uint8, context included.
        samples: (N, T - context_frames, C, H, W) uint8.
        context_frames: how many frames were given; they come first in every sample too, in green.
        at_least: repeat pixels until videos are about that large.
    """
    context = truth[:context_frames].cpu()
    videos = [truth, *(torch.cat([context, sample.cpu()]) for sample in samples)]
    titles = ["truth", *(f"sample {i}" for i in range(1, len(samples) + 1))]
    return side_by_side(videos, titles, [len(truth), *[context_frames] * len(samples)], at_least)


def contact_sheet(videos: Sequence[Tensor], given: Sequence[int], at_least: int = 64) -> Tensor:
    """A video in each row, frame by frame: the given ones in green, the generated ones in red.

    Args:
        videos: (T, C, H, W) uint8, all of one shape.
        given: how many first frames of each are given.
        at_least: repeat pixels until frames are about that large.

    Returns:
        (3, H', W') uint8.
    """
    if not videos or len({video.shape for video in map(check_frames, videos)}) != 1:
        raise ValueError(f"expected videos of one shape, got {[tuple(video.shape) for video in videos]}")
    if len(given) != len(videos):
        raise ValueError(f"expected a number of given frames for each of the {len(videos)} videos, got {len(given)}")
    rows = [with_border(enlarge_video(video.cpu(), at_least), n) for video, n in zip(videos, given, strict=True)]
    return grid(torch.cat(rows), columns=len(videos[0]), gap=2, background=255)

"""Clips from files: videos through PyAV, GIFs, NumPy files, folders of numbered pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.training.files import reason
from flowsuite.core.training.numpy_files import GIB
from flowsuite.core.training.pictures import open_image
from flowsuite.video.arrays import one_clip

VIDEOS = (".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
ARRAYS = (".npy", ".npz")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm")
LARGEST_FRAME = 1 << 25  # pixels; larger ones are taken for decompression bombs
CHUNK, CHUNK_BYTES = 32, 1 << 26  # resized at a time


def natural(path: Path) -> list:
    """A sort key that puts 10.png behind 9.png."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.as_posix())]


def list_clips(folder: str | Path) -> list[Path]:
    """Every video, GIF and NumPy file below a folder, and every folder with pictures, in natural order."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: expected one with videos")
    found = set()
    for path in folder.rglob("*"):
        suffix = path.suffix.lower()
        if suffix in (*VIDEOS, *ARRAYS, ".gif"):
            found.add(path)
        elif suffix in PICTURES:
            found.add(path.parent)
    if not found:
        kinds = ", ".join((*VIDEOS, ".gif", *ARRAYS))
        raise FileNotFoundError(f"{folder} holds no clips: expected files {kinds}, or folders of pictures")
    return sorted(found, key=natural)


class ClipReader:
    """Path to (T, C, H, W) uint8.

    Args:
        channels: 1 (grey) or 3 (RGB). Arrays must have as many; other files are converted.
        size: height and width of the result, None keeps them.
        crop: scale the shorter side to its size and cut out the middle; otherwise squeeze the picture into shape.
        stride: take every so many-th frame.
        most: bytes that a clip may have.
    """

    def __init__(
        self,
        channels: int = 3,
        size: tuple[int, int] | None = (64, 64),
        crop: bool = True,
        stride: int = 1,
        most: int = 4 * GIB,
    ):
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")
        if stride < 1 or (size is not None and min(size) < 1):
            raise ValueError(f"expected stride >= 1 and a size of at least 1x1, got {stride} and {size}")
        self.channels, self.size, self.crop, self.stride, self.most = channels, size, crop, stride, most

    def __call__(self, path: Path) -> Tensor:
        if path.suffix.lower() in ARRAYS and path.is_file():
            video = one_clip(path, self.most)[:: self.stride]
            if video.shape[1] != self.channels:
                raise ValueError(f"{path}: expected {self.channels} channels, got {video.shape[1]}")
            return torch.cat([self.resize(chunk) for chunk in video.split(CHUNK)])
        kept, chunk, total = [], [], 0
        for number, frame in enumerate(self.frames(path)):
            if frame.shape[0] * frame.shape[1] > LARGEST_FRAME:
                raise ValueError(f"{path}: too large, frames of {frame.shape[0]}x{frame.shape[1]}")
            if number % self.stride == 0:
                chunk.append(torch.from_numpy(frame))
            if chunk and (len(chunk) == CHUNK or len(chunk) * frame.size > CHUNK_BYTES):
                kept.append(self.finish(chunk, path))
                chunk, total = [], total + kept[-1].numel()
            if total > self.most:
                raise ValueError(
                    f"{path}: too large, {number + 1} frames are {total / GIB:.1f} GiB: cut it to pieces, or give a "
                    "smaller size or a larger stride"
                )
        if chunk:
            kept.append(self.finish(chunk, path))
        if not kept:
            raise ValueError(f"{path}: holds no frames")
        return torch.cat(kept)

    def frames(self, path: Path) -> Iterator[np.ndarray]:
        """The frames (H, W, C) uint8 of a file, or of a folder of pictures."""
        if path.is_dir():
            pictures = sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURES), key=natural)
            return (as_array(open_image(picture, self.channels)) for picture in pictures)
        return gif_frames(path, self.channels) if path.suffix.lower() == ".gif" else decode(path, self.channels)

    def finish(self, chunk: list[Tensor], path: Path) -> Tensor:
        for frame in chunk:
            if frame.shape != chunk[0].shape:
                raise ValueError(f"{path}: frames of {tuple(chunk[0].shape)} and {tuple(frame.shape)} in one clip")
        return self.resize(torch.stack(chunk).permute(0, 3, 1, 2))

    def resize(self, video: Tensor) -> Tensor:
        """(T, C, H, W) uint8 to the size asked for; smoothed before it is made smaller."""
        if self.size is None or tuple(video.shape[-2:]) == tuple(self.size):
            return video.contiguous()
        height, width = self.size
        if self.crop:
            scale = max(height / video.shape[-2], width / video.shape[-1])
            wanted = [max(n, round(scale * m)) for n, m in zip(self.size, video.shape[-2:], strict=True)]
        else:
            wanted = [height, width]
        resized = F.interpolate(video.float(), wanted, mode="bilinear", antialias=True, align_corners=False)
        top, left = (wanted[0] - height) // 2, (wanted[1] - width) // 2
        return resized[..., top : top + height, left : left + width].round().clamp(0, 255).to(torch.uint8)


def as_array(image) -> np.ndarray:
    """PIL image to (H, W, C)."""
    array = np.array(image)
    return array[..., None] if array.ndim == 2 else array


def decode(path: Path, channels: int) -> Iterator[np.ndarray]:
    """The frames (H, W, C) of the first video stream of a file, decoded by FFmpeg."""
    try:
        import av
    except ImportError:
        raise ImportError(f"{path}: video files need the package av: pip install av") from None
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise ValueError("it holds no video stream")
            stream = container.streams.video[0]
            if stream.width * stream.height > LARGEST_FRAME:
                raise ValueError(f"too large, frames of {stream.height}x{stream.width}")
            for frame in container.decode(stream):
                array = frame.to_ndarray(format="gray" if channels == 1 else "rgb24")
                yield array[..., None] if channels == 1 else array
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    except Exception as error:  # PyAV has no words of its own for streams that it can make nothing of
        why = getattr(error, "strerror", None) or reason(error)
        raise ValueError(f"{path}: cannot be read as a video ({why})") from None


def gif_frames(path: Path, channels: int) -> Iterator[np.ndarray]:
    """The frames of a GIF; one that is shown k times as long as the shortest counts as k equal frames."""
    from PIL import Image

    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(path) as image:
            durations = []
            for k in range(getattr(image, "n_frames", 1)):
                image.seek(k)
                durations.append(image.info.get("duration", 0))
            shortest = min(durations)
            whole = shortest > 0 and all(duration % shortest == 0 for duration in durations)
            for k, duration in enumerate(durations):
                image.seek(k)
                frame = as_array(image.convert(mode))
                for _ in range(int(duration // shortest) if whole else 1):
                    yield frame
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    except Exception as error:  # Pillow stumbles over damaged bytes in many ways
        raise ValueError(f"{path}: cannot be read as a GIF, truncated? ({reason(error)})") from None

"""Pictures: reading images, grids of them, and PNG files that are there whole or not at all."""

from __future__ import annotations

import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.files import atomic_write


def grid(images: Tensor, columns: int | None = None, gap: int = 1, background: int = 128) -> Tensor:
    """(N, C, H, W) uint8, row by row, to one picture (C, H', W'); as square as possible if `columns` is None."""
    if images.ndim != 4 or images.dtype != torch.uint8 or not len(images):
        raise ValueError(f"expected uint8 images (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
    n, channels, height, width = images.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    cells = images.new_full((rows * columns, channels, height + gap, width + gap), background)
    cells[:n, :, :height, :width] = images
    picture = cells.view(rows, columns, channels, height + gap, width + gap).permute(2, 0, 3, 1, 4)
    picture = picture.reshape(channels, rows * (height + gap), columns * (width + gap))
    return picture[:, : picture.shape[1] - gap, : picture.shape[2] - gap] if gap else picture


def enlarge(picture: Tensor, at_least: int = 384) -> Tensor:
    """(C, H, W) with every pixel repeated, until the longer side has about `at_least` pixels."""
    factor = max(1, round(at_least / max(picture.shape[1:])))
    return picture.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_png(picture: Tensor) -> bytes:
    """(C, H, W) uint8 with 1 (grey) or 3 (RGB) channels to the bytes of a PNG file of 8 bits a channel."""
    if picture.ndim != 3 or picture.shape[0] not in (1, 3) or picture.dtype != torch.uint8 or not picture.numel():
        raise ValueError(f"expected a uint8 picture (1 or 3, H, W), got {picture.dtype} {tuple(picture.shape)}")
    channels, height, width = picture.shape
    rows = picture.cpu().permute(1, 2, 0).reshape(height, width * channels)
    lines = torch.cat((rows.new_zeros(height, 1), rows), dim=1)  # each line starts with its filter: 0, none
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    body = zlib.compress(lines.numpy().tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def write_png(path: str | Path, picture: Tensor) -> Path:
    """Writes (C, H, W) uint8 with 1 or 3 channels, atomically."""
    data = encode_png(picture)
    with atomic_write(path) as file:
        file.write(data)
    return Path(path)


def decode_image(data: bytes, name: str, channels: int = 3):
    """Encoded bytes to a PIL image with 1 or 3 channels, turned as its EXIF data say; 16 bits are reduced to 8."""
    from PIL import Image, ImageOps

    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):  # PIL would clip 16 bits to white
                upright = Image.fromarray((np.asarray(upright) // 257).astype(np.uint8))
            return upright.convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "not a known image format" if isinstance(error, Image.UnidentifiedImageError) else error
        raise ValueError(f"{name}: cannot be read as an image ({reason})") from None


def open_image(path: str | Path, channels: int = 3):
    return decode_image(Path(path).read_bytes(), str(path), channels)

"""Pictures: reading images, grids of them, and PNG files that are there whole or not at all."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.files import atomic_write, reason


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


def encode_png(picture: Tensor) -> bytes:
    """(C, H, W) uint8 with 1 (grey) or 3 (RGB) channels to the bytes of a PNG file."""
    from PIL import Image

    if picture.ndim != 3 or picture.shape[0] not in (1, 3) or picture.dtype != torch.uint8 or not picture.numel():
        raise ValueError(f"expected a uint8 picture (1 or 3, H, W), got {picture.dtype} {tuple(picture.shape)}")
    pixels = picture.cpu().permute(1, 2, 0).squeeze(-1).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


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
    except Exception as error:  # Pillow stumbles over damaged bytes in many ways
        unknown = isinstance(error, Image.UnidentifiedImageError)
        why = "not a known image format" if unknown else reason(error)
        raise ValueError(f"{name}: cannot be read as an image ({why})") from None


def open_image(path: str | Path, channels: int = 3):
    return decode_image(Path(path).read_bytes(), str(path), channels)

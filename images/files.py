"""Lists of image files, crops and resizes, and arrays as images; errors name the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")


def list_images(folder: str | Path) -> list[Path]:
    """Every image below a folder, sorted."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: expected one with images")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS)
    if not paths:
        raise FileNotFoundError(f"{folder} holds no images: expected files ending in {', '.join(EXTENSIONS)}")
    return paths


def to_tensor(image) -> Tensor:
    """PIL image to (C, H, W) uint8."""
    array = torch.from_numpy(np.array(image))
    return array.unsqueeze(0) if array.ndim == 2 else array.permute(2, 0, 1).contiguous()


def resize_short_side(image, size: int):
    """Bilinear resize that keeps the aspect ratio and brings the shorter side to `size`."""
    from PIL import Image

    scale = size / min(image.size)
    return image.resize([max(size, round(side * scale)) for side in image.size], Image.Resampling.BILINEAR)


def crop(image, size: int, random: bool = False):
    """A square of `size` from the centre, or from a uniformly drawn place."""
    width, height = image.size
    if min(width, height) < size:
        raise ValueError(f"cannot crop {size}x{size} from an image of {height}x{width} (height x width)")
    if random:
        left, top = (int(torch.randint(0, side - size + 1, ())) for side in (width, height))
    else:
        left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def as_images(array: np.ndarray, name: str) -> Tensor:
    """(N, H, W), (N, H, W, C) or (N, C, H, W) uint8 array to (N, C, H, W); C is 1 or 3."""
    if array.dtype != np.uint8:
        raise ValueError(f"{name}: expected uint8 images with values 0..255, got {array.dtype}")
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[-1] in (1, 3) and array.shape[1] not in (1, 3):
        array = np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise ValueError(f"{name}: expected images (N, H, W), (N, H, W, C) or (N, C, H, W), got shape {array.shape}")
    return torch.from_numpy(array)

"""Reading image data from disk: single images, NumPy archives, pickles of arrays; errors name the file."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")


def find_file(root: str | Path, names: list[str], hint: str = "") -> Path:
    """The first of `names` that exists under `root`."""
    for name in names:
        path = Path(root) / name
        if path.exists():
            return path
    raise FileNotFoundError(f"{Path(root) / names[0]} not found" + (f": {hint}" if hint else ""))


def list_images(folder: str | Path) -> list[Path]:
    """Every image below a folder, sorted."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: expected one with images")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS)
    if not paths:
        raise FileNotFoundError(f"{folder} holds no images: expected files ending in {', '.join(EXTENSIONS)}")
    return paths


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


def load_npz(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of a `.npz`; pickled objects in it are refused."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    except Exception as error:
        raise ValueError(f"{path}: not a readable .npz of plain arrays ({error})") from None


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 pickles of Python 3 spell bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for text encoding {encoding!r}, and only latin1 is allowed")
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds NumPy arrays, containers, numbers and strings; any other global is refused, so nothing can run."""

    ALLOWED = frozenset(
        {
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy._core.numeric", "_frombuffer"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        }
    )

    def find_class(self, module, name):
        if (module, name) == ("_codecs", "encode"):
            return _encode
        module = module.replace("numpy.core.", "numpy._core.")
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only NumPy arrays are allowed")
        return super().find_class(module, name)


def load_array_pickle(path: str | Path, encoding: str = "latin1"):
    """A pickle of NumPy arrays in plain containers (Python 2 ones too); anything else in it is refused."""
    try:
        with open(path, "rb") as file:
            return _ArrayUnpickler(file, encoding=encoding).load()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    except Exception as error:
        raise ValueError(f"{path}: not a readable pickle of arrays ({error})") from None

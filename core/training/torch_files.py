"""The one place that reads what `torch.save` wrote: tensors and plain data, and no code."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch


def load_torch(path: str | os.PathLike, map_location: Any = "cpu") -> Any:
    """`torch.load` with `weights_only=True`; it raises whatever the reader of damaged bytes stumbles over.

    Files of the format before zip archives say themselves how much to read: they are read from memory, where that is no
    more than there is.
    """
    source = path if is_zip(path) else io.BytesIO(Path(path).read_bytes())
    return torch.load(source, map_location=map_location, weights_only=True)


def is_zip(path: str | os.PathLike) -> bool:
    """Whether a file is a zip archive, be it a damaged one."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # its end says that it spans several disks
        return True


def damaged_part(path: str | os.PathLike) -> str | None:
    """The first part of what `torch.save` wrote whose checksum is wrong; torch itself does not look at them."""
    if not is_zip(path):
        return None
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()

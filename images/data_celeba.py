"""CelebA: aligned faces with 40 attributes."""

from __future__ import annotations

from pathlib import Path

import torch

from flowsuite.core.training.files import find_file, read_text
from flowsuite.core.training.pictures import open_image
from flowsuite.images.data_base import DownloadableModule
from flowsuite.images.datasets import ImageFiles
from flowsuite.images.files import to_tensor

PARTITION = {"train": 0, "val": 1, "test": 2}
CROP = (15, 40, 163, 188)  # left, upper, right, lower: rows 40..188 and columns 15..163


class CelebA(DownloadableModule):
    """Faces of 178x218, cropped to 148x148 as RealNVP does (rows 40..188, columns 15..163), resized bilinearly.

    Files in `root` or `root/celeba`: `img_align_celeba/*.jpg`, `list_eval_partition.txt` (name and 0, 1 or 2 a line:
    162,770 train, 19,867 validation, 19,962 test) and, for `attribute`, `list_attr_celeba.txt`.

    Args:
        root: folder of the data set.
        download: fetch missing files through torchvision.
        size: height and width of the images.
        attribute: one of the 40 attributes, which becomes the label (0 or 1); all labels are 0 without it.
        skip_bad: leave out images that cannot be read, with a warning that counts them, instead of stopping.
        kwargs: those of `ImageDataModule`; RealNVP trains with `flip: true`.
    """

    has_validation = True

    def __init__(
        self,
        root: str = "data",
        download: bool = False,
        size: int = 64,
        attribute: str | None = None,
        skip_bad: bool = False,
        **kwargs,
    ):
        super().__init__(root, download, **kwargs)
        self.size, self.attribute, self.skip_bad = size, attribute, skip_bad

    def fetch(self):
        import torchvision

        torchvision.datasets.CelebA(str(self.root), split="all", download=True)

    def source(self, part):
        listing = find_file(self.root, ["list_eval_partition.txt", "celeba/list_eval_partition.txt"], self.hint)
        names = read_partition(listing)[part]
        if not names:
            raise ValueError(f"{listing}: lists no images of the {part} part ({PARTITION[part]})")
        folder = find_file(listing.parent, ["img_align_celeba"], self.hint)
        labels = None
        if self.attribute is not None:
            table = find_file(listing.parent, ["list_attr_celeba.txt"], self.hint)
            labels = read_attribute(table, self.attribute, names)
        return ImageFiles([folder / name for name in names], labels, self.read, self.skip_bad)

    def read(self, path: Path) -> torch.Tensor:
        from PIL import Image

        image = open_image(path)
        if image.size != (178, 218):
            raise ValueError(f"{path}: expected an aligned CelebA image of 178x218, got {image.width}x{image.height}")
        return to_tensor(image.crop(CROP).resize((self.size, self.size), Image.Resampling.BILINEAR))


def read_partition(path: Path) -> dict[str, list[str]]:
    """`list_eval_partition.txt`: names of each part."""
    names = {code: [] for code in PARTITION.values()}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            raise ValueError(f"{path}, line {number}: expected a file name and 0, 1 or 2, got {line!r}")
        names[int(fields[1])].append(fields[0])
    return {part: names[code] for part, code in PARTITION.items()}


def read_attribute(path: Path, attribute: str, names: list[str]) -> torch.Tensor:
    """`list_attr_celeba.txt` (a count, the names, then a file name and 40 times +-1): 0 or 1 for each of `names`."""
    lines = read_text(path).splitlines()
    columns = lines[1].split() if len(lines) > 1 else []
    if attribute not in columns:
        raise ValueError(f"{path}: no attribute {attribute!r}, it has {', '.join(columns) or 'none'}")
    column = columns.index(attribute) + 1
    values = {}
    for number, line in enumerate(lines[2:], 3):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != len(columns) + 1 or fields[column] not in ("1", "-1"):
            raise ValueError(f"{path}, line {number}: expected a file name and {len(columns)} values of 1 or -1")
        values[fields[0]] = int(fields[column] == "1")
    missing = next((name for name in names if name not in values), None)
    if missing is not None:
        raise ValueError(f"{path}: no attributes of image {missing}")
    return torch.tensor([values[name] for name in names])

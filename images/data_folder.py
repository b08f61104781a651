"""Your own images: a folder of files, or a NumPy archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from flowsuite.core.training.numpy_files import load_npz
from flowsuite.core.training.pictures import open_image
from flowsuite.images.data_base import ImageDataModule
from flowsuite.images.datasets import ImageFiles, ImageSet
from flowsuite.images.files import as_images, crop, list_images, resize_short_side, to_tensor


class ImageReader:
    """Path to a uint8 (C, H, W) tensor, optionally resized and cropped to a square.

    Args:
        channels: 3 for RGB, 1 for grey.
        size: height and width of the result; 0 keeps each image as it is.
        resize: bring the shorter side to this first (bilinear); None: to `size`; 0: do not resize.
        random_crop: cut the square from a random place, not from the centre.
    """

    def __init__(self, channels: int = 3, size: int = 0, resize: int | None = None, random_crop: bool = False):
        self.channels, self.size, self.random_crop = channels, size, random_crop
        self.resize = size if resize is None else resize

    def __call__(self, path: Path) -> torch.Tensor:
        return self.convert(open_image(path, self.channels), path)

    def convert(self, image, name) -> torch.Tensor:
        if self.resize:
            image = resize_short_side(image, self.resize)
        try:
            return to_tensor(crop(image, self.size, self.random_crop) if self.size else image)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


class ImageFolder(ImageDataModule):
    """Any folder of images.

    With sub-folders `train`, `test` (and `val`) those are the parts; otherwise `test` images are drawn from all with
    the fixed seed. Inside a part, each sub-folder is a class, numbered in alphabetical order; images that lie directly
    in it make one class. AFHQ, ImageNet and CelebA-HQ as PNG have this form.

    Args:
        root: the folder.
        size: height and width of the squares that the model sees; 0 if all images have one size already.
        resize: bring the shorter side of an image to this before cutting the square; `size` if None, 0 for no resize.
        random_crop: cut training squares from random places.
        channels: 3 for RGB, 1 for grey.
        in_memory: decode everything once at the start (not with `random_crop`).
        skip_bad: leave out images that cannot be read, with a warning that counts them, instead of stopping.
        test: images drawn for the test part where the folder has none.
        validation: training images kept for validation where the folder has no `val`.
        kwargs: those of `ImageDataModule`.
    """

    def __init__(
        self,
        root: str,
        size: int = 0,
        resize: int | None = None,
        random_crop: bool = False,
        channels: int = 3,
        in_memory: bool = False,
        skip_bad: bool = False,
        test: int = 100,
        validation: int = 100,
        **kwargs,
    ):
        super().__init__(validation=validation, **kwargs)
        if in_memory and random_crop:
            raise ValueError("in_memory keeps one crop of each image: set random_crop to false, or in_memory to false")
        self.root, self.test, self.in_memory, self.skip_bad = Path(root), test, in_memory, skip_bad
        self.reader = ImageReader(channels, size, resize)
        self.train_reader = ImageReader(channels, size, resize, random_crop)

    @property
    def has_validation(self) -> bool:
        return (self.root / "val").is_dir() and (self.root / "train").is_dir()

    def make_dataset(self, split):
        dataset = super().make_dataset(split)
        if isinstance(dataset, ImageFiles):
            dataset.read = self.train_reader if split == "train" else self.reader
        return dataset

    def source(self, part):
        if (self.root / "train").is_dir():
            return self._load(*self._scan(self.root / part))
        paths, labels = self._scan(self.root)
        if not 0 < self.test < len(paths):
            raise ValueError(f"test must be between 1 and {len(paths) - 1} for the {len(paths)} images in {self.root}")
        order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(self.split_seed))
        chosen = order[: self.test] if part == "test" else order[self.test :]
        return self._load([paths[i] for i in chosen.tolist()], labels[chosen])

    def _scan(self, folder: Path) -> tuple[list[Path], torch.Tensor]:
        paths = list_images(folder)
        tops = [path.relative_to(folder).parts[0] if path.parent != folder else "" for path in paths]
        number = {name: i for i, name in enumerate(sorted(set(tops)))}
        return paths, torch.tensor([number[top] for top in tops])

    def _load(self, paths: list[Path], labels: torch.Tensor) -> ImageFiles | ImageSet:
        files = ImageFiles(paths, labels, self.reader, self.skip_bad)
        return ImageSet(*files.__getitems__(range(len(files)))) if self.in_memory else files


class NPZ(ImageDataModule):
    """A `.npz` with `train_images` and `test_images`, uint8, (N, H, W), (N, H, W, C) or (N, C, H, W).

    `train_labels`, `test_labels`, `val_images` and `val_labels` are used where present; without `val_images` the
    validation split is drawn from the training images. MedMNIST archives have this form.

    Args:
        path: the archive; pickled objects in it are refused.
        validation: training images kept for validation where the archive has no `val_images`.
        kwargs: those of `ImageDataModule`.
    """

    def __init__(self, path: str, validation: int = 1000, **kwargs):
        super().__init__(validation=validation, **kwargs)
        self.path = Path(path)
        self._arrays: dict[str, np.ndarray] | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        if self._arrays is None:
            self._arrays = load_npz(self.path)
        return self._arrays

    @property
    def has_validation(self) -> bool:
        return "val_images" in self.arrays

    def source(self, part):
        if f"{part}_images" not in self.arrays:
            raise ValueError(f"{self.path}: no array {part}_images, it has {', '.join(self.arrays) or 'none'}")
        labels = self.arrays.get(f"{part}_labels")
        images = as_images(self.arrays[f"{part}_images"], f"{self.path} ({part}_images)")
        if labels is not None and labels.size != len(images):
            raise ValueError(f"{self.path}: {len(images)} {part} images but {labels.size} labels")
        return ImageSet(images, None if labels is None else torch.from_numpy(labels.reshape(-1).astype(np.int64)))

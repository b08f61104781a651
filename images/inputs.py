"""Images for a command: files, a folder, a `.npz`, a data module by name, or the one of a recipe."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from flowsuite.core.training import inputs
from flowsuite.core.training.numpy_files import load_npz
from flowsuite.images import data as data_modules
from flowsuite.images.data_base import ImageDataModule
from flowsuite.images.data_folder import NPZ, ImageReader
from flowsuite.images.datasets import ImageFiles, ImageSet
from flowsuite.images.files import EXTENSIONS, as_images, list_images
from flowsuite.images.flow import ImageFlow
from flowsuite.images.vae.model import FlowVAE

ABSTRACT = ("ImageDataModule", "DownloadableModule", "BinaryImageModule")
MODULES = {
    name: cls
    for name, cls in vars(data_modules).items()
    if isinstance(cls, type)
    and issubclass(cls, ImageDataModule)
    and name in data_modules.__all__
    and name not in ABSTRACT
}


def open_images(
    specs: list[str], flow: ImageFlow | FlowVAE, split: str = "test", resize: bool = False, options: str = "{}"
) -> ImageSet | ImageFiles:
    """The images that `specs` name, in the shape of `flow`.

    Args:
        specs: image files; or one folder, `.npz` file, data module (`CIFAR10`) or recipe (`images/glow-cifar10`).
        flow: decides on channels and size.
        split: of a data module, a recipe or a `.npz`.
        resize: bring image files to the flow's size: short side resized, centre cropped. Square models only.
        options: JSON with arguments of the data module, such as `{"root": "/data"}`.
    """
    dataset = _open(specs, flow, split, resize, options)
    image, _ = dataset[0]
    if tuple(image.shape) != flow.image_shape:
        hint = "" if resize else "; --resize brings image files to it"
        raise ValueError(
            f"{' '.join(specs)}: images are {tuple(image.shape)}, the model wants {flow.image_shape} (C, H, W){hint}"
        )
    return dataset


def _open(specs: list[str], flow: ImageFlow | FlowVAE, split: str, resize: bool, options: str) -> ImageSet | ImageFiles:
    first = Path(specs[0])
    if len(specs) == 1 and first.suffix == ".npz":
        return _open_npz(first, split)
    if len(specs) == 1 and first.is_dir():
        return _open_files(list_images(first), flow, resize)
    if all(Path(spec).suffix.lower() in EXTENSIONS for spec in specs):
        missing = next((spec for spec in specs if not Path(spec).is_file()), None)
        if missing is not None:
            raise FileNotFoundError(f"{missing} not found")
        return _open_files([Path(spec) for spec in specs], flow, resize)
    if len(specs) > 1:
        raise ValueError(f"expected image files ({', '.join(EXTENSIONS)}) or one set of images, got {' '.join(specs)}")
    return data_module(specs[0], options).dataset(split)


def _open_files(paths: list[Path], flow: ImageFlow | FlowVAE, resize: bool) -> ImageFiles:
    channels, height, width = flow.image_shape
    if resize and height != width:
        raise ValueError(f"--resize cuts squares, and the model wants {height}x{width}")
    return ImageFiles(paths, None, ImageReader(channels, height if resize else 0))


def _open_npz(path: Path, split: str) -> ImageSet:
    """One of the splits of a data set, or the only array of images (what `flowsuite sample` writes)."""
    arrays = load_npz(path)
    if f"{split}_images" in arrays or (split == "val" and "train_images" in arrays):
        return NPZ(str(path)).dataset(split)
    for name in ("images", "samples"):
        if name in arrays:
            return ImageSet(as_images(arrays[name], f"{path} ({name})"))
    raise ValueError(f"{path}: no array {split}_images, images or samples; it has {', '.join(arrays) or 'none'}")


def data_module(name: str, options: str = "{}") -> ImageDataModule:
    """A data module by class name, or the one that a recipe (or a configuration file) configures."""
    return inputs.data_module(name, options, MODULES, "flowsuite.images.data", "a file, a folder, .npz")


def take(dataset, indices: list[int]) -> tuple[Tensor, Tensor]:
    """`(images, labels)` of the given numbers."""
    for i in indices:
        if not 0 <= i < len(dataset):
            raise ValueError(f"image number {i} does not exist: the set has {len(dataset)}, numbered from 0")
    return dataset.__getitems__(indices)


def as_context(flow: ImageFlow, labels: Tensor, label: int | None) -> Tensor | None:
    """Labels on the flow's device: those of the images, or `label` for all; None for an unconditional flow."""
    if not flow.n_classes:
        return None
    labels = labels if label is None else torch.full_like(labels, label)
    if labels.min() < 0 or labels.max() >= flow.n_classes:
        raise ValueError(f"labels must be in 0..{flow.n_classes - 1}, got {int(labels.min())}..{int(labels.max())}")
    return labels.to(flow.base.anchor.device)

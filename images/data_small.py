"""Small sets: scikit-learn's digits (embedded, no download), Frey faces, the Toronto face database."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from flowsuite.core.training.files import find_file
from flowsuite.core.training.pickles import load_array_pickle
from flowsuite.images.data_base import ImageDataModule
from flowsuite.images.datasets import ImageSet
from flowsuite.images.files import as_images
from flowsuite.images.mat_files import read_mat


class Digits(ImageDataModule):
    """1,797 real handwritten digits, 8x8 grey, that come with scikit-learn: nothing to download.

    The values 0..16 become `min(16 v, 255)`: at `n_bits=4` they are the 16 levels of the model, the last two merged;
    at 8 bits only 17 of 256 levels occur, and a good model gets an accordingly low figure.
    Splits, always the same: 1,297 train, 200 validation, 300 test.

    Args:
        upscale: repeat each pixel this many times along both axes.
        kwargs: those of `ImageDataModule` (its `validation` and `split_seed` have no effect).
    """

    has_validation = True
    sizes = (1297, 200, 300)

    def __init__(self, upscale: int = 1, **kwargs):
        super().__init__(**kwargs)
        if upscale < 1:
            raise ValueError(f"upscale must be at least 1, got {upscale}")
        self.upscale = upscale

    def source(self, part):
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = torch.from_numpy((digits.images * 16).clip(0, 255).astype(np.uint8))[:, None]
        images = images.repeat_interleave(self.upscale, 2).repeat_interleave(self.upscale, 3)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        indices = dict(zip(("train", "val", "test"), order.split(self.sizes), strict=True))[part]
        return ImageSet(images, torch.from_numpy(digits.target), indices)


class FreyFaces(ImageDataModule):
    """1,965 frames of one face, 28x20 grey, from a pickle (of Python 2 too).

    It holds an array (N, 560), or a list of one, uint8 or floats in 0..1.

    Splits: the last 200 of a shuffle are the test part, always the same for one `shuffle_seed`; with 200 for validation
    they are the 1,565 / 200 / 200 of arXiv 1803.05649. Frames are neighbours in a film, so test figures are optimistic.

    Args:
        path: the pickle; nothing but arrays is loaded from it.
        shuffle_seed: of the shuffle; to be named beside a figure.
        validation: training images kept for validation.
        kwargs: those of `ImageDataModule`.
    """

    def __init__(self, path: str = "data/freyfaces.pkl", validation: int = 165, shuffle_seed: int = 0, **kwargs):
        super().__init__(validation=validation, **kwargs)
        self.path, self.shuffle_seed = Path(path), shuffle_seed

    def source(self, part):
        array = np.asarray(load_array_pickle(self.path))
        array = array[0] if array.ndim == 3 and len(array) == 1 else array
        if array.ndim != 2 or array.shape[1] != 560 or not (array.dtype == np.uint8 or array.dtype.kind == "f"):
            raise ValueError(f"{self.path}: expected uint8 or floats (N, 560), got {array.dtype} {array.shape}")
        if array.dtype != np.uint8:
            if not (array.min() >= 0 and array.max() <= 1):
                raise ValueError(f"{self.path}: expected values in 0..1, got {array.min():.3g}..{array.max():.3g}")
            array = (array * 255).round().astype(np.uint8)
        images = torch.from_numpy(array).reshape(-1, 1, 28, 20)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.shuffle_seed))
        return ImageSet(images, None, order[:-200] if part == "train" else order[-200:])


class TFD(ImageDataModule):
    """Toronto face database: 48x48 grey, about 100,000 unlabelled and 4,178 labelled faces; by request from its makers.

    File: `TFD_48x48.mat` with `images` (N, 48, 48) uint8, `labs_ex` (N, 1), -1 without a label, and `folds` (N, 5):
    0 unlabelled, 1 train, 2 validation, 3 test.

    Args:
        root: folder of the file.
        fold: which of the five partitions, 0..4.
        unlabelled: train on the unlabelled faces (as NICE does), not on the labelled training part.
        kwargs: those of `ImageDataModule`.
    """

    has_validation = True

    def __init__(self, root: str = "data", fold: int = 0, unlabelled: bool = True, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= fold <= 4:
            raise ValueError(f"fold must be between 0 and 4, got {fold}")
        self.root, self.fold, self.unlabelled = Path(root), fold, unlabelled

    def source(self, part):
        path = find_file(self.root, ["TFD_48x48.mat"], "the set is given out on request by its makers only")
        mat = read_mat(path, ("images", "labs_ex", "folds"))
        labels = torch.from_numpy(mat["labs_ex"].reshape(-1).astype(np.int64))
        code = {"train": 0 if self.unlabelled else 1, "val": 2, "test": 3}[part]
        images, rows = as_images(mat["images"], str(path)), np.flatnonzero(mat["folds"][:, self.fold] == code)
        if not len(rows):
            raise ValueError(f"{path}: fold {self.fold} has no images of the {part} part (code {code})")
        return ImageSet(images, labels, torch.from_numpy(rows))

"""Binary images: MNIST in its two binarisations, scikit-learn's digits, Omniglot, Caltech-101 silhouettes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.files import find_file
from flowsuite.images.amat import read_amat
from flowsuite.images.binary import BinaryImageModule
from flowsuite.images.data_base import ImageDataModule
from flowsuite.images.data_mnist import MNIST
from flowsuite.images.data_small import Digits
from flowsuite.images.datasets import ImageSet
from flowsuite.images.mat_files import read_mat


class BinaryDigits(BinaryImageModule):
    """`Digits`, 1,797 real 8x8 digits that come with scikit-learn, made binary: nothing to download.

    Args:
        binarize, kwargs: see `BinaryImageModule`.
    """

    has_validation = True

    def source(self, part):
        return Digits().source(part)


class BinaryMNIST(BinaryImageModule):
    """MNIST made binary, from its IDX files (see `MNIST`).

    Args:
        root: folder of the data set.
        only: "" for the whole set; "t10k" where there is no more than the file of the 10,000 test digits: 1,000 of
            them, always the same, are the test part, and the other 9,000 the training part.
        validation: training images kept for validation.
        binarize, kwargs: see `BinaryImageModule`.
    """

    def __init__(self, root: str = "data", only: str = "", validation: int = 10000, **kwargs):
        super().__init__(validation=validation, **kwargs)
        if only not in ("", "t10k"):
            raise ValueError(f'only must be "" or "t10k", got {only!r}')
        self.grey, self.only = MNIST(root), only

    def source(self, part):
        if not self.only:
            return self.grey.source(part)
        whole = self.grey.source("test")
        order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))
        held = len(whole) // 10
        return whole.subset(order[:held] if part == "test" else order[held:])


class LarochelleMNIST(ImageDataModule):
    """The published static binarisation of MNIST (Larochelle & Murray 2011): 50,000 / 10,000 / 10,000, no labels.

    Files: `binarized_mnist_{train,valid,test}.amat` in `root`: 784 ones and zeros a line.

    Args:
        root: folder of the files.
        kwargs: those of `ImageDataModule`.
    """

    has_validation = True

    def __init__(self, root: str = "data", **kwargs):
        super().__init__(**kwargs)
        self.root = Path(root)

    def source(self, part):
        name = f"binarized_mnist_{'valid' if part == 'val' else part}.amat"
        hint = "set root to the folder of Larochelle's three .amat files"
        path = find_file(self.root, [name, f"binarized_mnist/{name}"], hint)
        return ImageSet(torch.from_numpy(255 * read_amat(path, 784)).view(-1, 1, 28, 28))


def turned(array: np.ndarray, path: Path, name: str) -> Tensor:
    """Images (N, 784) of values in 0..1, columns first, as uint8 (N, 1, 28, 28)."""
    if array.ndim != 2 or array.shape[1] != 784 or not array.size:
        raise ValueError(f"{path}: expected 784 numbers an image in {name}, got an array of shape {array.shape}")
    array = array.astype(np.float32)
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"{path}: expected values in 0..1 in {name}, got {array.min():.3g}..{array.max():.3g}")
    grey = torch.from_numpy(np.rint(255 * array).astype(np.uint8))
    return grey.view(-1, 1, 28, 28).mT.contiguous()


class Omniglot(BinaryImageModule):
    """Characters of 50 alphabets, 28x28 grey (the version of arXiv 1509.00519), made binary: 23,000 / 1,345 / 8,070.

    File: `chardata.mat` with `data` (784, 24345) and `testdata` (784, 8070), values in 0..1, columns first. They are
    kept to 8 bits, by whose values the pixels are drawn. As published, training images are drawn anew in every batch.

    Args:
        root: folder of the file.
        validation: training images kept for validation.
        binarize, kwargs: see `BinaryImageModule`.
    """

    def __init__(self, root: str = "data", validation: int = 1345, binarize: str = "dynamic", **kwargs):
        super().__init__(validation=validation, binarize=binarize, **kwargs)
        self.root = Path(root)

    def source(self, part):
        path = find_file(self.root, ["chardata.mat", "OMNIGLOT/chardata.mat"], "set root to the folder that has it")
        name = "data" if part == "train" else "testdata"
        return ImageSet(turned(read_mat(path, (name,))[name].T, path, name))


class CaltechSilhouettes(ImageDataModule):
    """Outlines of the objects of Caltech-101, 28x28, binary (Marlin et al. 2010): 4,100 / 2,264 / 2,307.

    File: `caltech101_silhouettes_28_split1.mat` with `{train,val,test}_data` (N, 784), ones and zeros, columns first,
    and `{train,val,test}_labels` (N, 1) in 1..101. As in arXiv 1803.05649 the images are 1 minus those of the file.

    Args:
        root: folder of the file.
        kwargs: those of `ImageDataModule`.
    """

    has_validation = True

    def __init__(self, root: str = "data", **kwargs):
        super().__init__(**kwargs)
        self.root = Path(root)

    def source(self, part):
        name = "caltech101_silhouettes_28_split1.mat"
        path = find_file(self.root, [name, f"Caltech101Silhouettes/{name}"], "set root to the folder that has it")
        mat = read_mat(path, (f"{part}_data", f"{part}_labels"))
        data, labels = mat[f"{part}_data"], mat[f"{part}_labels"].reshape(-1)
        if not np.isin(data, (0, 1)).all():
            raise ValueError(f"{path}: expected zeros and ones in {part}_data")
        if len(labels) != len(data):
            raise ValueError(f"{path}: {len(data)} images but {len(labels)} labels in the {part} part")
        labels = torch.from_numpy(labels.astype(np.int64)) - 1
        return ImageSet(255 - turned(data, path, f"{part}_data"), labels)

"""The readers of `flowsuite.images`."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flowsuite.images.amat import read_amat
from flowsuite.images.data import CIFAR10, LSUN, NPZ, SVHN, TFD, CelebAHQ, ImageNetBatches
from flowsuite.images.data_binary import CaltechSilhouettes, Omniglot
from flowsuite.images.data_celeba import read_attribute, read_partition
from flowsuite.images.data_imagenet import DownsampledImageNet
from flowsuite.images.data_mnist import MNIST
from flowsuite.images.data_small import FreyFaces
from flowsuite.images.features import load_feature_network
from tests.fuzz.harness import Reader, write
from tests.images import containers as made
from tests.images.containers import encoded, pixels
from tests.tfrecords import example, record

PARTITION = "".join(f"{i:06d}.jpg {i % 3}\n" for i in range(1, 7))
ATTRIBUTES = "2\nSmiling Young\n000001.jpg 1 -1\n000002.jpg -1 -1\n"
AMAT = "".join(" ".join(str(b % 2) for b in row) + " \n" for row in pixels(3, 784))


def first_of(module) -> list:
    """All of the test part as a model sees it."""
    dataset = module.source("test")
    return list(dataset.__getitems__(range(min(2, len(dataset)))))


def mat(**arrays: np.ndarray) -> Callable[[Path], None]:
    from scipy.io import savemat

    return lambda path: savemat(path, arrays)


def write_celebahq(path: Path) -> None:
    fields = {"shape": [8, 8, 3], "data": pixels(8, 8, 3).tobytes(), "label": [3], "attr": [1, -1] * 20}
    path.write_bytes(record(example(fields), None) * 2)


def write_tar(path: Path) -> None:
    data = encoded(pixels(32, 32, 3))
    with tarfile.open(path, "w") as archive:
        for i in range(2):
            member = tarfile.TarInfo(f"valid_32x32/{i}.png")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_mnist(path: Path) -> None:
    made.write_mnist(path.parent, n=3, zipped=False)


def write_cifar(path: Path) -> None:
    path.write_bytes(pickle.dumps({"data": pixels(2, 3072), "labels": [1, 2]}, protocol=2))


def write_lsun(path: Path) -> None:
    path.parent.rmdir()
    made.write_lsun(path.parents[1], category="tower", n=2, size=(100, 100))


def read_lsun(path: Path) -> list:
    return first_of(LSUN(path.parents[1], categories=["tower"], size=8, resize=8))


def write_network(path: Path) -> None:
    import torch

    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))


READERS = [
    Reader("amat", "binarized_mnist_test.amat", write(AMAT), lambda path: read_amat(path, 784)),
    Reader("partition", "list_eval_partition.txt", write(PARTITION), read_partition),
    Reader(
        "attributes",
        "list_attr_celeba.txt",
        write(ATTRIBUTES),
        lambda path: read_attribute(path, "Smiling", ["000001.jpg", "000002.jpg"]),
    ),
    Reader("MNIST", "t10k-images-idx3-ubyte", write_mnist, lambda path: first_of(MNIST(path.parent))),
    Reader("MNIST labels", "t10k-labels-idx1-ubyte", write_mnist, lambda path: first_of(MNIST(path.parent))),
    Reader("CIFAR-10", "test_batch", write_cifar, lambda path: first_of(CIFAR10(path.parent))),
    Reader(
        "CIFAR-10 binary",
        "test_batch.bin",
        write(b"".join(bytes([i]) + pixels(3072).tobytes() for i in range(2))),
        lambda path: first_of(CIFAR10(path.parent)),
    ),
    Reader(
        "SVHN",
        "test_32x32.mat",
        mat(X=pixels(32, 32, 3, 2), y=np.array([[1], [10]], np.uint8)),
        lambda path: first_of(SVHN(path.parent)),
    ),
    Reader(
        "TFD",
        "TFD_48x48.mat",
        mat(images=pixels(3, 48, 48), labs_ex=np.array([[-1], [2], [3]]), folds=np.full((3, 5), 3)),
        lambda path: first_of(TFD(path.parent)),
    ),
    Reader(
        "Omniglot",
        "chardata.mat",
        mat(data=pixels(784, 3) / 255, testdata=pixels(784, 2) / 255),
        lambda path: first_of(Omniglot(path.parent)),
    ),
    Reader(
        "Caltech",
        "caltech101_silhouettes_28_split1.mat",
        mat(test_data=pixels(2, 784) % 2, test_labels=np.array([[1], [2]], np.uint8)),
        lambda path: first_of(CaltechSilhouettes(path.parent)),
    ),
    Reader(
        "Frey faces",
        "freyfaces.pkl",
        write(pickle.dumps(pixels(201, 560), 2)),
        lambda path: first_of(FreyFaces(str(path))),
        share=0.5,
    ),
    Reader(
        "NPZ",
        "images.npz",
        lambda path: np.savez(path, test_images=pixels(2, 4, 4, 3), test_labels=np.array([0, 1])),
        lambda path: first_of(NPZ(str(path))),
    ),
    Reader(
        "ImageNet batches npz",
        "val_data.npz",
        lambda path: np.savez(path, data=pixels(2, 192), labels=np.array([1, 1000])),
        lambda path: first_of(ImageNetBatches(path.parent, size=8)),
    ),
    Reader(
        "ImageNet batches pickle",
        "val_data",
        write(pickle.dumps({"data": pixels(2, 192), "labels": [1, 1000]})),
        lambda path: first_of(ImageNetBatches(path.parent, size=8)),
    ),
    Reader("ImageNet tar", "valid_32x32.tar", write_tar, lambda path: first_of(DownsampledImageNet(path.parent))),
    Reader(
        "CelebA-HQ",
        "validation/v-r03-0.tfrecords",
        write_celebahq,
        lambda path: first_of(CelebAHQ(path.parents[1], size=8)),
    ),
    Reader("LSUN", "tower_val_lmdb/data.mdb", write_lsun, read_lsun),
    Reader("TorchScript", "network.pt", write_network, load_feature_network, share=0.5),
]

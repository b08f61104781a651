"""The image data modules, by their names in recipes: `data: class_path: flowsuite.images.data.CIFAR10`."""

from flowsuite.images.binary import BinaryImageModule
from flowsuite.images.data_base import DownloadableModule, ImageDataModule
from flowsuite.images.data_binary import BinaryDigits, BinaryMNIST, CaltechSilhouettes, LarochelleMNIST, Omniglot
from flowsuite.images.data_celeba import CelebA
from flowsuite.images.data_celebahq import CelebAHQ
from flowsuite.images.data_cifar import CIFAR10, SVHN
from flowsuite.images.data_folder import NPZ, ImageFolder
from flowsuite.images.data_imagenet import DownsampledImageNet, ImageNetBatches
from flowsuite.images.data_lsun import LSUN
from flowsuite.images.data_mnist import MNIST, FashionMNIST
from flowsuite.images.data_small import TFD, Digits, FreyFaces

__all__ = [
    "CIFAR10",
    "LSUN",
    "MNIST",
    "NPZ",
    "SVHN",
    "TFD",
    "BinaryDigits",
    "BinaryImageModule",
    "BinaryMNIST",
    "CaltechSilhouettes",
    "CelebA",
    "CelebAHQ",
    "Digits",
    "DownloadableModule",
    "DownsampledImageNet",
    "FashionMNIST",
    "FreyFaces",
    "ImageDataModule",
    "ImageFolder",
    "ImageNetBatches",
    "LarochelleMNIST",
    "Omniglot",
]

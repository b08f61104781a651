"""Every data module reads tiny fixtures in the exact container that the set is distributed in."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from flowsuite.core.data.idx import read_idx
from flowsuite.core.training.pickles import load_array_pickle
from flowsuite.images import data
from tests.images import containers

SHARED = Path(os.environ.get("FLOWSUITE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "images"


def needs(name: str):
    return pytest.mark.skipif(not (SHARED / name).exists(), reason=f"no {SHARED / name}: real data are not in the repo")


CASES = {
    "mnist": (containers.write_mnist, lambda r: data.MNIST(str(r), validation=3), (1, 28, 28), (9, 3, 12)),
    "fashion": (
        lambda r: containers.write_mnist(r / "FashionMNIST" / "raw", zipped=False),
        lambda r: data.FashionMNIST(str(r), validation=3, pad_to=32, tile=3),
        (3, 32, 32),
        (9, 3, 12),
    ),
    "cifar": (containers.write_cifar, lambda r: data.CIFAR10(str(r), validation=5), (3, 32, 32), (15, 5, 4)),
    "cifar-bin": (
        lambda r: containers.write_cifar(r, binary=True),
        lambda r: data.CIFAR10(str(r), validation=5),
        (3, 32, 32),
        (15, 5, 4),
    ),
    "svhn": (containers.write_svhn, lambda r: data.SVHN(str(r), extra=True, validation=6), (3, 32, 32), (10, 6, 8)),
    "celeba": (containers.write_celeba, lambda r: data.CelebA(str(r), attribute="Smiling"), (3, 64, 64), (3, 3, 3)),
    "celebahq": (
        containers.write_celebahq,
        lambda r: data.CelebAHQ(str(r), 16, attribute=3, validation=2),
        (3, 16, 16),
        (4, 2, 6),
    ),
    "imagenet-folder": (
        containers.write_imagenet,
        lambda r: data.DownsampledImageNet(str(r), 32, validation=2),
        (3, 32, 32),
        (4, 2, 6),
    ),
    "imagenet-tar": (
        lambda r: containers.write_imagenet(r, 64, tar=True),
        lambda r: data.DownsampledImageNet(str(r), 64, validation=2),
        (3, 64, 64),
        (4, 2, 6),
    ),
    "imagenet-npz": (
        containers.write_imagenet_batches,
        lambda r: data.ImageNetBatches(str(r), 8, validation=5),
        (3, 8, 8),
        (25, 5, 3),
    ),
    "imagenet-pickle": (
        lambda r: containers.write_imagenet_batches(r, npz=False),
        lambda r: data.ImageNetBatches(str(r), 8, validation=5),
        (3, 8, 8),
        (25, 5, 3),
    ),
    "lsun": (containers.write_lsun, lambda r: data.LSUN(str(r), validation=2), (3, 64, 64), (4, 2, 6)),
    "folder": (
        lambda r: containers.write_folder(r, classes=("cat", "dog")),
        lambda r: data.ImageFolder(str(r), size=16, test=3, validation=3),
        (3, 16, 16),
        (10, 3, 3),
    ),
    "folder-memory": (
        containers.write_folder,
        lambda r: data.ImageFolder(str(r), channels=1, in_memory=True, test=2, validation=2),
        (1, 20, 16),
        (4, 2, 2),
    ),
    "npz": (
        lambda r: containers.write_npz(r / "a.npz"),
        lambda r: data.NPZ(str(r / "a.npz"), validation=4),
        (3, 8, 8),
        (8, 4, 12),
    ),
    "npz-grey": (
        lambda r: containers.write_npz(r / "a.npz", shape=(8, 6)),
        lambda r: data.NPZ(str(r / "a.npz"), validation=4),
        (1, 8, 6),
        (8, 4, 12),
    ),
    "digits": (lambda r: None, lambda r: data.Digits(), (1, 8, 8), (1297, 200, 300)),
    "digits-16": (lambda r: None, lambda r: data.Digits(upscale=2), (1, 16, 16), (1297, 200, 300)),
    "freyfaces": (
        lambda r: containers.write_freyfaces(r / "f.pkl"),
        lambda r: data.FreyFaces(str(r / "f.pkl"), validation=10),
        (1, 28, 20),
        (30, 10, 200),
    ),
    "tfd": (containers.write_tfd, lambda r: data.TFD(str(r)), (1, 48, 48), (4, 4, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_every_container(case, tmp_path):
    write, make, shape, sizes = CASES[case]
    write(tmp_path)
    module = make(tmp_path)
    module.batch_size = 2
    for split, size in zip(("train", "val", "test"), sizes, strict=True):
        dataset = module.dataset(split)
        assert len(dataset) == size
        image, label = dataset[0]
        assert image.shape == shape and image.dtype == torch.uint8 and isinstance(label, int)
        images, labels = dataset.__getitems__([0, 1])
        assert images.shape == (2, *shape) and labels.shape == (2,) and labels.dtype == torch.int64
    for loader in (module.train_dataloader(), module.val_dataloader(), module.test_dataloader()):
        images, labels = next(iter(loader))
        assert images.dtype == torch.uint8 and images.shape == (len(labels), *shape)
        assert int(labels.min()) >= 0 or case == "tfd"


def test_validation_comes_from_train_and_is_always_the_same(tmp_path):
    written = containers.write_mnist(tmp_path)
    first, again, other = (data.MNIST(str(tmp_path), validation=4, split_seed=seed) for seed in (0, 0, 1))
    val, train = (first.dataset(split).__getitems__(range(n))[0] for split, n in (("val", 4), ("train", 8)))
    assert torch.equal(val, again.dataset("val").__getitems__(range(4))[0])
    assert not torch.equal(val, other.dataset("val").__getitems__(range(4))[0])
    together = {image.numpy().tobytes() for image in torch.cat((val, train))}
    assert together == {image.tobytes() for image in written["train"]}
    test = first.dataset("test").__getitems__(range(12))[0]
    assert np.array_equal(test[:, 0].numpy(), written["t10k"])


def test_pixels_arrive_in_the_right_order(tmp_path):
    cifar = containers.write_cifar(tmp_path)
    image, _ = data.CIFAR10(str(tmp_path)).dataset("test")[1]
    assert np.array_equal(image.numpy(), cifar["test_batch"][1].reshape(3, 32, 32))
    svhn = containers.write_svhn(tmp_path)
    extra = data.SVHN._read(tmp_path / "extra_32x32.mat")
    assert np.array_equal(extra[0][5].numpy(), svhn[..., 5].transpose(2, 0, 1))
    assert extra[1].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    for tar in (False, True):
        root = tmp_path / f"tar{tar}"
        valid = containers.write_imagenet(root, tar=tar)
        image, _ = data.DownsampledImageNet(str(root)).dataset("test")[3]
        assert np.array_equal(image.numpy(), valid[3].transpose(2, 0, 1))
    faces = containers.write_celebahq(tmp_path)
    for i in (0, 5):
        image, label = data.CelebAHQ(str(tmp_path), 16).dataset("test")[i]
        assert np.array_equal(image.numpy(), faces[i].transpose(2, 0, 1)) and label == i
        assert data.CelebAHQ(str(tmp_path), 16, attribute=1).dataset("test")[i][1] == (i + 1) % 2
    batches = containers.write_imagenet_batches(tmp_path)
    image, label = data.ImageNetBatches(str(tmp_path), 8).dataset("test")[2]
    assert np.array_equal(image.numpy(), batches["val_data"][2].reshape(3, 8, 8)) and label == 32
    arrays = containers.write_npz(tmp_path / "a.npz")
    image, label = data.NPZ(str(tmp_path / "a.npz")).dataset("test")[7]
    assert np.array_equal(image.numpy(), arrays["test_images"][7].transpose(2, 0, 1)) and label == 7


def test_svhn_label_ten_is_zero(tmp_path):
    containers.write_svhn(tmp_path, n=10)
    assert data.SVHN._read(tmp_path / "test_32x32.mat")[1].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


def test_celeba_crop_is_realnvps(tmp_path):
    containers.write_celeba(tmp_path)
    module = data.CelebA(str(tmp_path), size=148, attribute="Smiling")
    image, label = module.dataset("train")[1]
    rows = np.linspace(0, 255, 218)[40:188]
    assert np.abs(image[0].float().mean(1).numpy() - rows).max() < 3
    assert label == 1 and module.dataset("train")[0][1] == 0


def test_digits_are_disjoint_and_fill_four_bits():
    splits = [data.Digits().dataset(split) for split in ("train", "val", "test")]
    assert sorted(torch.cat([s.indices for s in splits]).tolist()) == list(range(1797))
    assert (splits[0].images >> 4).unique().tolist() == list(range(16))


def test_idx_and_real_pickle_of_python_2(tmp_path):
    array = containers.pixels(3, 4, 5)
    (tmp_path / "a").write_bytes(containers.idx_bytes(array))
    assert np.array_equal(read_idx(tmp_path / "a"), array)


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil_was_here",)


def test_pickles_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "cifar-10-batches-py"
    containers.write_cifar(tmp_path)
    (root / "test_batch").write_bytes(pickle.dumps({"data": Evil(), "labels": []}))
    with pytest.raises(ValueError, match=r"test_batch.*system.*only NumPy arrays"):
        data.CIFAR10(str(tmp_path)).dataset("test")
    (tmp_path / "f.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"f\.pkl"):
        load_array_pickle(tmp_path / "f.pkl")
    np.savez(tmp_path / "o.npz", train_images=np.array([Evil()], dtype=object))
    with pytest.raises(ValueError, match=r"o\.npz"):
        data.NPZ(str(tmp_path / "o.npz")).dataset("train")
    assert not (tmp_path / "evil_was_here").exists()


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


BROKEN = {
    "missing": (lambda r: (r / "t10k-images-idx3-ubyte.gz").unlink(), FileNotFoundError, "t10k-images.*download"),
    "cut gzip": (lambda r: truncate(r / "t10k-images-idx3-ubyte.gz", 50), ValueError, "t10k-images.*cannot be read"),
    "not gzip": (lambda r: (r / "t10k-images-idx3-ubyte.gz").write_text("hi"), ValueError, "t10k-images"),
    "labels": (lambda r: (r / "t10k-images-idx3-ubyte.gz").replace(r / "t10k-labels-idx1-ubyte.gz"), Exception, "t10k"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_mnist_is_named(case, tmp_path):
    containers.write_mnist(tmp_path)
    spoil, error, message = BROKEN[case]
    spoil(tmp_path)
    with pytest.raises(error, match=message) as caught:
        data.MNIST(str(tmp_path)).dataset("test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "write, make, spoil, message",
    [
        (
            containers.write_svhn,
            lambda r: data.SVHN(str(r)),
            lambda r: truncate(r / "test_32x32.mat", 300),
            "test_32x32.mat",
        ),
        (
            lambda r: containers.write_cifar(r, binary=True),
            lambda r: data.CIFAR10(str(r)),
            lambda r: truncate(r / "cifar-10-batches-bin" / "test_batch.bin", 3000),
            "test_batch.bin.*3073",
        ),
        (
            lambda r: containers.write_imagenet(r, tar=True),
            lambda r: data.DownsampledImageNet(str(r)),
            lambda r: (r / "valid_32x32.tar").write_text("no tar"),
            "valid_32x32.tar",
        ),
        (
            containers.write_lsun,
            lambda r: data.LSUN(str(r)),
            lambda r: (r / "bedroom_val_lmdb" / "data.mdb").write_text("no lmdb"),
            "bedroom_val_lmdb",
        ),
        (
            lambda r: containers.write_npz(r / "a.npz"),
            lambda r: data.NPZ(str(r / "a.npz")),
            lambda r: truncate(r / "a.npz", 200),
            "a.npz",
        ),
        (
            lambda r: np.savez(r / "a.npz", test_images=np.zeros((3, 8, 8, 3))),
            lambda r: data.NPZ(str(r / "a.npz")),
            lambda r: None,
            "uint8.*float64",
        ),
        (
            containers.write_celebahq,
            lambda r: data.CelebAHQ(str(r), 16),
            lambda r: truncate(r / "validation" / "validation-r04-s-0001-of-0002.tfrecords", 1500),
            "validation-r04-s-0001.*truncated in record 1",
        ),
        (
            containers.write_celebahq,
            lambda r: data.CelebAHQ(str(r), 32),
            lambda r: None,
            "no files .*-r05-",
        ),
        (
            containers.write_celeba,
            lambda r: data.CelebA(str(r), attribute="Smilling"),
            lambda r: None,
            "no attribute 'Smilling'.*Smiling",
        ),
        (
            containers.write_celeba,
            lambda r: data.CelebA(str(r)),
            lambda r: (r / "celeba" / "list_eval_partition.txt").write_text("a.jpg 0\nb.jpg 7\n"),
            "line 2",
        ),
        (lambda r: None, lambda r: data.LSUN(str(r)), lambda r: None, "bedroom_val_lmdb not found"),
        (lambda r: None, lambda r: data.TFD(str(r)), lambda r: None, "TFD_48x48.mat not found"),
        (lambda r: None, lambda r: data.ImageFolder(str(r / "x")), lambda r: None, "x is not a folder"),
        (lambda r: None, lambda r: data.ImageFolder(str(r)), lambda r: None, "holds no images"),
    ],
)
def test_broken_files_are_named(write, make, spoil, message, tmp_path):
    write(tmp_path)
    spoil(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        make(tmp_path).dataset("test")
    assert "\n" not in str(caught.value)


def test_bad_image_stops_or_is_counted(tmp_path):
    containers.write_folder(tmp_path, n=8)
    (tmp_path / "003.png").write_bytes((tmp_path / "003.png").read_bytes()[:40])
    strict = data.ImageFolder(str(tmp_path), test=7, validation=1)
    with pytest.raises(ValueError, match=r"003\.png: cannot be read as an image"):
        for split in ("test", "train"):
            dataset = strict.source(split)
            dataset.__getitems__(range(len(dataset)))
    lenient = data.ImageFolder(str(tmp_path), test=7, validation=1, skip_bad=True)
    read = 0
    with pytest.warns(UserWarning, match=r"skipped 1 unreadable.*003\.png"):
        for split in ("test", "train"):
            dataset = lenient.source(split)
            if len(dataset) > 1 or "003" not in str(dataset.keys[0]):
                read += len(dataset.__getitems__(range(len(dataset)))[0])
    assert read == 7


def test_images_of_several_sizes_need_a_size(tmp_path):
    containers.write_folder(tmp_path / "a", n=3)
    containers.write_folder(tmp_path / "b", n=3, size=(30, 30))
    with pytest.raises(ValueError, match="set a size"):
        data.ImageFolder(str(tmp_path), test=5, batch_size=5).dataset("test").__getitems__(range(5))
    images, labels = data.ImageFolder(str(tmp_path), test=5, size=12).dataset("test").__getitems__(range(5))
    assert images.shape == (5, 3, 12, 12) and set(labels.tolist()) == {0, 1}


def test_folder_with_parts_keeps_them(tmp_path):
    for part, n in (("train", 5), ("val", 2), ("test", 3)):
        containers.write_folder(tmp_path / part, n=n)
    module = data.ImageFolder(str(tmp_path))
    assert [len(module.dataset(split)) for split in ("train", "val", "test")] == [5, 2, 3]


def test_lsun_crops_training_images_at_random_and_others_in_the_centre(tmp_path):
    containers.write_lsun(tmp_path)
    module = data.LSUN(str(tmp_path), validation=2)
    torch.manual_seed(0)
    train, test = module.dataset("train"), module.dataset("test")
    assert any(not torch.equal(train[0][0], train[0][0]) for _ in range(3))
    assert torch.equal(test[0][0], test[0][0])


def test_lmdb_with_worker_processes(tmp_path):
    containers.write_lsun(tmp_path)
    module = data.LSUN(str(tmp_path), validation=2, batch_size=2, num_workers=1)
    module.dataset("test")[0]
    assert sum(len(labels) for _, labels in module.test_dataloader()) == 6


@needs("mnist/t10k-images-idx3-ubyte.gz")
def test_real_mnist():
    images, labels = data.MNIST(str(SHARED / "mnist")).dataset("test").__getitems__(range(10000))
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert abs(images.float().mean() / 255 - 0.1325) < 1e-3


@needs("freyfaces.pkl")
def test_real_freyfaces():
    module = data.FreyFaces(str(SHARED / "freyfaces.pkl"))
    assert [len(module.dataset(split)) for split in ("train", "val", "test")] == [1600, 165, 200]


@needs("cifar10_jpeg_subset.npz")
def test_real_npz():
    image, label = data.NPZ(str(SHARED / "cifar10_jpeg_subset.npz")).dataset("test")[0]
    assert image.shape == (3, 32, 32) and 0 <= label < 10

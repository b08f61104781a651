"""Binary data sets from tiny files in their published formats."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from flowsuite.images import data
from flowsuite.images.amat import read_amat
from tests.images import containers

SHARED = Path(os.environ.get("FLOWSUITE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "images"


def images_of(module, split) -> torch.Tensor:
    dataset = module.dataset(split)
    return dataset.__getitems__(list(range(len(dataset))))[0]


def test_larochelle(tmp_path):
    written = containers.write_amat(tmp_path)
    module = data.LarochelleMNIST(str(tmp_path))
    for split, part in (("train", "train"), ("val", "valid"), ("test", "test")):
        images = images_of(module, split)
        assert images.dtype == torch.uint8 and images.shape == (6, 1, 28, 28)
        assert np.array_equal(images.flatten(1).numpy(), 255 * written[part])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 1\n0 1\n", "line 2: expected 3 numbers, got 2"),
        ("0 1 1\n0 2 1\n", "line 2: expected zeros and ones"),
        ("0 1 1\n0 11 1\n", "line 2: expected zeros and ones"),
        ("\n", "is empty"),
    ],
)
def test_broken_amat_is_named_with_its_line(text, message, tmp_path):
    (tmp_path / "a.amat").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.amat.*{message}"):
        read_amat(tmp_path / "a.amat", 3)


def test_a_last_line_without_an_end_counts(tmp_path):
    (tmp_path / "a.amat").write_bytes(b"0 1 1\r\n1 0 0")
    assert read_amat(tmp_path / "a.amat", 3).tolist() == [[0, 1, 1], [1, 0, 0]]


def test_omniglot_is_turned_and_drawn_by_its_grey_values(tmp_path):
    written = containers.write_omniglot(tmp_path)
    grey = data.Omniglot(str(tmp_path), validation=2, binarize="threshold")
    assert np.array_equal(images_of(grey, "test")[:, 0].numpy(), 255 * (written["testdata"] > 127))
    module = data.Omniglot(str(tmp_path), validation=2)
    assert [len(module.dataset(split)) for split in ("train", "val", "test")] == [7, 2, 9]
    assert torch.equal(images_of(module, "test"), images_of(data.Omniglot(str(tmp_path), validation=2), "test"))
    assert not torch.equal(images_of(module, "train"), images_of(module, "train"))
    draws = torch.stack([images_of(module, "train") for _ in range(200)])
    assert set(draws.unique().tolist()) == {0, 255}
    indices = module.dataset("train").indices
    probability = torch.from_numpy(written["data"] / 255.0)[indices][:, None]
    assert ((draws / 255).mean(0) - probability).abs().mean() < 0.05


def test_caltech_is_inverted_and_labelled_from_zero(tmp_path):
    written = containers.write_caltech(tmp_path)
    module = data.CaltechSilhouettes(str(tmp_path))
    for split in ("train", "val", "test"):
        dataset = module.dataset(split)
        images, labels = dataset.__getitems__(list(range(5)))
        assert np.array_equal(images[:, 0].numpy(), 255 * (1 - written[split])) and labels.tolist() == [0, 1, 2, 3, 4]


def test_mnist_is_drawn_once_or_anew(tmp_path):
    containers.write_mnist(tmp_path, n=20)
    static = data.BinaryMNIST(str(tmp_path), validation=4)
    assert torch.equal(images_of(static, "train"), images_of(static, "train"))
    assert torch.equal(images_of(static, "val"), images_of(data.BinaryMNIST(str(tmp_path), validation=4), "val"))
    other = data.BinaryMNIST(str(tmp_path), validation=4, binarize_seed=1)
    assert not torch.equal(images_of(static, "train"), images_of(other, "train"))
    dynamic = data.BinaryMNIST(str(tmp_path), validation=4, binarize="dynamic")
    assert not torch.equal(images_of(dynamic, "train"), images_of(dynamic, "train"))
    assert torch.equal(images_of(dynamic, "test"), images_of(dynamic, "test"))
    assert set(images_of(dynamic, "train").unique().tolist()) == {0, 255}
    few = data.BinaryMNIST(str(tmp_path), only="t10k", validation=3)
    assert [len(few.dataset(split)) for split in ("train", "val", "test")] == [15, 3, 2]


def test_digits_need_no_file():
    module = data.BinaryDigits(binarize="threshold")
    assert [len(module.dataset(split)) for split in ("train", "val", "test")] == [1297, 200, 300]
    grey = data.Digits().dataset("test").__getitems__([3])[0]
    assert torch.equal(module.dataset("test").__getitems__([3])[0], 255 * (grey > 127).to(torch.uint8))


def test_bad_files_and_options_are_named(tmp_path):
    for module, name in ((data.LarochelleMNIST, "amat"), (data.Omniglot, "chardata"), (data.CaltechSilhouettes, "cal")):
        with pytest.raises(FileNotFoundError, match=name):
            module(str(tmp_path)).dataset("test")
    from scipy.io import savemat

    savemat(tmp_path / "chardata.mat", {"data": np.zeros((28, 5)), "testdata": np.full((784, 2), 3.0)})
    with pytest.raises(ValueError, match=r"chardata\.mat: expected values in 0\.\.1 in testdata"):
        data.Omniglot(str(tmp_path)).dataset("test")
    with pytest.raises(ValueError, match=r"chardata\.mat: expected 784 numbers an image in data"):
        data.Omniglot(str(tmp_path)).dataset("train")
    arrays = {"test_data": np.full((2, 784), 0.5), "test_labels": np.ones((2, 1))}
    savemat(tmp_path / "caltech101_silhouettes_28_split1.mat", arrays)
    with pytest.raises(ValueError, match="expected zeros and ones in test_data"):
        data.CaltechSilhouettes(str(tmp_path)).dataset("test")
    with pytest.raises(ValueError, match="binarize must be one of static, dynamic, threshold, got 'no'"):
        data.BinaryDigits(binarize="no")
    with pytest.raises(ValueError, match='only must be "" or "t10k"'):
        data.BinaryMNIST(only="test")


@pytest.mark.skipif(not (SHARED / "mnist").exists(), reason="no real data here")
def test_real_digits():
    module = data.BinaryMNIST(str(SHARED / "mnist"), only="t10k", validation=1000)
    assert [len(module.dataset(split)) for split in ("train", "val", "test")] == [8000, 1000, 1000]
    share = (images_of(module, "test") > 0).float().mean()
    assert 0.12 < share < 0.14  # of white in MNIST


@pytest.mark.skipif(not (SHARED / "freyfaces.pkl").exists(), reason="no real data here")
def test_real_frey_faces_in_the_published_splits():
    module = data.FreyFaces(str(SHARED / "freyfaces.pkl"), validation=200, shuffle_seed=123)
    assert [len(module.dataset(split)) for split in ("train", "val", "test")] == [1565, 200, 200]
    assert module.dataset("test")[0][0].shape == (1, 28, 20)

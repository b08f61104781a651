"""Data modules that read `.npy` files: PC15k layouts, folders, packed copies, bad files."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from flowsuite.pointclouds.categories import NAMES, SYNSETS
from flowsuite.pointclouds.clouds import read_cloud
from flowsuite.pointclouds.data import CloudFolder, ModelNetPC15k, ShapeNetPC15k
from tests.pointclouds.files import cloud, write_cloud, write_pc15k

SMALL = {"points": 10, "eval_points": 10}


def test_shapenet_order_labels_and_content(tmp_path):
    written = write_pc15k(tmp_path)
    data = ShapeNetPC15k(tmp_path, ["chair", "airplane"], **SMALL)
    clouds = data.clouds("train")
    expected = [f"03001627/train/m{k}" for k in range(4)] + [f"02691156/train/m{k}" for k in range(4)]
    order = list(range(8))
    random.Random(38383).shuffle(order)
    assert list(clouds.names) == [expected[i] for i in order]
    assert clouds.labels.tolist() == [int(i >= 4) for i in order] and clouds.categories == ["chair", "airplane"]
    for i, name in enumerate(clouds.names):
        assert np.array_equal(clouds.points[i], written[name])
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [8, 4, 6]


def test_categories_by_name_by_synset_and_all(tmp_path):
    write_pc15k(tmp_path, ("04379243", "02691156", "torus"))
    by_name, by_synset = (ShapeNetPC15k(tmp_path, c, **SMALL).clouds("val") for c in ("table", "04379243"))
    assert by_name.names == by_synset.names and torch.equal(by_name.points, by_synset.points)
    assert ShapeNetPC15k(tmp_path, **SMALL).clouds("val").categories == ["airplane", "table", "torus"]
    assert len(SYNSETS) == len(NAMES) == 55


def wrong_categories(root):
    return {
        "chiar": (ShapeNetPC15k(root, "airplne"), "no category 'airplne'.*did you mean 'airplane'"),
        "absent": (ShapeNetPC15k(root, "chair"), r"no category 'chair' \(folder 03001627\)"),
        "twice": (ShapeNetPC15k(root, ["airplane", "02691156"]), "given twice"),
        "root": (ShapeNetPC15k(root / "none"), "none is not a folder: set root"),
        "modelnet": (ModelNetPC15k(root, ["sofas"]), "no category 'sofas'.*known: 02691156"),
        "ten": (ModelNetPC15k(root, "modelnet10"), "no category 'bathtub'"),
        "folder": (CloudFolder(root / "none"), "none is not a folder"),
        "empty": (CloudFolder(root / "02691156" / "empty"), "empty holds no .npy"),
    }


@pytest.mark.parametrize("case", ["chiar", "absent", "twice", "root", "modelnet", "ten", "folder", "empty"])
def test_missing_data_is_named(case, tmp_path):
    write_pc15k(tmp_path, ("02691156",))
    (tmp_path / "02691156" / "empty").mkdir()
    data, message = wrong_categories(tmp_path)[case]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        data.clouds("train")


def test_repeated_categories():
    with pytest.raises(ValueError, match="different names"):
        ShapeNetPC15k("x", ["chair", "chair"])


def test_modelnet(tmp_path):
    write_pc15k(tmp_path, ("desk", "bed"), {"train": 5, "test": 2})
    data = ModelNetPC15k(tmp_path, **SMALL)
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [10, 4, 4]
    assert data.clouds("train").categories == ["bed", "desk"]
    assert all(name.startswith(("bed", "desk")[label]) for name, label in named(data.clouds("train")))
    drawn = ModelNetPC15k(tmp_path, validation=3, **SMALL)
    assert [len(drawn.dataset(split)) for split in ("val", "train", "test")] == [3, 7, 4]
    parts = [set(drawn.clouds(split).names) for split in ("train", "val")]
    assert not parts[0] & parts[1] and parts[0] | parts[1] == set(data.clouds("train").names)


def named(clouds):
    return zip(clouds.names, clouds.labels.tolist(), strict=True)


def test_packed_copy_is_the_same_and_follows_the_files(tmp_path):
    root, cache = tmp_path / "data", tmp_path / "cache"
    write_pc15k(root)
    plain = ShapeNetPC15k(root, **SMALL).clouds("train")
    data = ShapeNetPC15k(root, cache=str(cache), **SMALL)
    data.prepare_data()
    packed = {path: path.read_bytes() for path in cache.iterdir()}
    assert len(packed) == 2  # train and val
    assert torch.equal(data.clouds("train").points, plain.points)
    batch = next(iter(ShapeNetPC15k(root, cache=str(cache), batch_size=8, **SMALL).train_dataloader()))
    assert batch["points"].shape == (8, 10, 3)
    data.clouds("train").points.zero_()
    assert {path: path.read_bytes() for path in cache.iterdir()} == packed
    path = root / f"{plain.names[0]}.npy"
    write_cloud(path, np.ones((60, 3)) * 7 + cloud(0))
    changed = ShapeNetPC15k(root, cache=str(cache), **SMALL).clouds("train")
    assert not torch.equal(changed.points[0], plain.points[0]) and torch.equal(changed.points[1:], plain.points[1:])


def spoil_nan(path):
    write_cloud(path, np.where(np.arange(60)[:, None] < 3, np.nan, cloud(0)))


def spoil_empty(path):
    path.write_bytes(b"")


def spoil_pickle(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def spoil_text(path):
    path.write_text("no array at all")


BAD = {
    "nan": (spoil_nan, "3 of 60 points are NaN or infinite"),
    "size": (lambda path: write_cloud(path, cloud(0, 59)), "59 points, but .* has 60"),
    "shape": (lambda path: write_cloud(path, np.zeros((60, 2))), r"expected numbers of shape \(points, 3\).*\(60, 2\)"),
    "none": (lambda path: write_cloud(path, np.zeros((0, 3))), "the cloud has no points"),
    "empty": (spoil_empty, "the file is empty"),
    "pickle": (spoil_pickle, "not a readable .npy"),
    "text": (spoil_text, "not a readable .npy"),
}


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_named_or_skipped(case, cached, tmp_path):
    root = tmp_path / "data"
    write_pc15k(root, ("02691156",))
    bad = root / "02691156" / "train" / "m2.npy"
    spoil, message = BAD[case]
    spoil(bad)
    options = SMALL | ({"cache": str(tmp_path / "cache")} if cached else {})
    with pytest.raises(ValueError, match=f"m2.npy: .*{message}") as error:
        ShapeNetPC15k(root, "airplane", **options).clouds("train")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())
    with pytest.warns(UserWarning, match="skipped 1 of 4 clouds, the last: .*m2.npy"):
        clouds = ShapeNetPC15k(root, "airplane", skip_bad=True, **options).clouds("train")
    assert sorted(clouds.names) == [f"02691156/train/m{k}" for k in (0, 1, 3)]


def test_all_files_bad(tmp_path):
    for name in "abc":
        spoil_empty(tmp_path / f"{name}.npy")
    with pytest.raises(ValueError, match="none of 1 clouds can be used"):
        CloudFolder(tmp_path, test=1, validation=1, skip_bad=True).clouds("test")
    with pytest.raises(FileNotFoundError, match=r"gone\.npy not found"):
        read_cloud(tmp_path / "gone.npy")


def test_flat_folder_is_split(tmp_path):
    for k in range(9):
        write_cloud(tmp_path / ("cat" if k % 2 else "dog") / f"{k}.npy", cloud(k))
    data = CloudFolder(tmp_path, test=2, validation=3, **SMALL)
    parts = {split: set(data.clouds(split).names) for split in ("train", "val", "test")}
    assert [len(part) for part in parts.values()] == [4, 3, 2] and len(set.union(*parts.values())) == 9
    for split in parts:
        assert all(name.startswith(("cat", "dog")[label]) for name, label in named(data.clouds(split)))


def test_folder_with_parts(tmp_path):
    write_pc15k(tmp_path, ("train", "test"), {"sofa": 3, "bed": 2})
    data = CloudFolder(tmp_path, validation=1, **SMALL)
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [4, 1, 5]
    assert data.clouds("test").categories == ["bed", "sofa"]


def test_different_sizes_can_be_resampled(tmp_path):
    written = {k: write_cloud(tmp_path / f"{k}.npy", cloud(k, 40 + 10 * k)) for k in range(5)}
    with pytest.raises(ValueError, match=r"\d\.npy: \d0 points, but .*\d\.npy has \d0"):
        CloudFolder(tmp_path, test=1, validation=1, **SMALL).clouds("train")
    data = CloudFolder(tmp_path, resample=60, test=1, validation=1, **SMALL)
    again = CloudFolder(tmp_path, resample=60, test=1, validation=1, **SMALL)
    for split in ("train", "val", "test"):
        clouds = data.clouds(split)
        assert clouds.points.shape[1:] == (60, 3) and torch.equal(clouds.points, again.clouds(split).points)
        for name, points in zip(clouds.names, clouds.points.numpy(), strict=True):
            whole = {tuple(row) for row in written[int(name)]}
            taken = {tuple(row) for row in points}
            assert taken <= whole and len(taken) == min(60, len(whole))

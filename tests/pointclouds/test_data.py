"""Items, batches, normalisation and draws of the point-cloud data modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowsuite.pointclouds.augment import rotate_about_y
from flowsuite.pointclouds.clouds import Clouds
from flowsuite.pointclouds.data import PointCloudDataModule
from flowsuite.pointclouds.data_base import held_out
from flowsuite.pointclouds.dataset import CloudSet
from flowsuite.pointclouds.normalize import statistics
from tests.pointclouds.files import cloud


class Made(PointCloudDataModule):
    """Ten, four and three clouds of 60 points: 40 for training, 20 held out."""

    def source(self, part):
        first, size = {"train": (0, 10), "val": (100, 4), "test": (200, 3)}[part]
        points = torch.from_numpy(np.stack([cloud(first + i) for i in range(size)])).float()
        names = [f"a/{part}/{i}" for i in range(size)]
        return Clouds(points, torch.arange(size) % 2, names, ["a", "b"])


def module(**options):
    return Made(**{"batch_size": 4, "points": 30, "eval_points": 20} | options)


def test_evaluation_items_are_the_first_rows():
    data = module()
    batch = next(iter(data.val_dataloader()))
    raw, made = data.clouds("val").points, data.normalization()
    for name, rows in (("points", slice(0, 20)), ("reference", slice(40, 60))):
        torch.testing.assert_close(batch[name], (raw[:, rows] - made["mean"]) / made["std"])
        torch.testing.assert_close(batch[name] * batch["std"] + batch["mean"], raw[:, rows], rtol=1e-4, atol=1e-5)
    assert batch["index"].tolist() == [0, 1, 2, 3] and batch["label"].tolist() == [0, 1, 0, 1]
    assert batch["mean"].shape == (4, 1, 3) and batch["std"].shape == (4, 1, 1)
    item = data.dataset("val")[2]
    assert item["points"].shape == (20, 3) and item["index"] == 2 and torch.equal(item["points"], batch["points"][2])


def test_training_points_are_a_random_subset_of_the_training_rows():
    data = module(normalize="none", replacement=False)
    raw = data.clouds("train").points
    first, second = (data.dataset("train").__getitems__([3, 7])["points"] for _ in range(2))
    assert not torch.equal(first, second)
    for shape, points in zip((3, 7), first, strict=True):
        same = (points[:, None] == raw[shape]).all(dim=-1)
        assert same.any(dim=1).all() and not same[:, 40:].any()
        assert same.any(dim=0).sum() == 30  # all different


def test_draws_with_replacement_are_uniform():
    data = module(normalize="none", points=4000)
    raw = data.clouds("train").points
    points = data.dataset("train")[0]["points"]
    counts = (points[:, None] == raw[0]).all(dim=-1).sum(dim=0)
    assert counts[40:].sum() == 0 and counts.sum() == 4000
    assert counts[:40].min() > 50 and counts[:40].max() < 160  # 100 expected, sd 10


@pytest.mark.parametrize("workers", [0, 1])
def test_epochs_differ_and_repeat_and_resume(workers, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    options = {"rotate": True, "jitter": 0.1, "num_workers": workers, "batch_size": 3}
    loader = module(**options).train_dataloader()
    first, second = list(loader), list(loader)
    assert not torch.equal(first[0]["points"], second[0]["points"])
    resumed = module(**options).train_dataloader()
    resumed.load_state_dict({"epoch": 1, "batch": 2})
    resumed.set_epoch(1)
    rest = list(resumed)
    assert len(rest) == 1 and torch.equal(rest[0]["points"], second[2]["points"])
    assert torch.equal(rest[0]["index"], second[2]["index"])


def brute_force(points: np.ndarray, kind: str):
    if kind == "per_shape":
        return points.mean(axis=1, keepdims=True), points.reshape(len(points), -1).std(axis=1)[:, None, None]
    flat = points.reshape(-1, 3)
    std = flat.std(axis=0) if kind == "per_axis" else points.reshape(-1).std(keepdims=True)
    return flat.mean(axis=0)[None, None], std[None, None]


@pytest.mark.parametrize("kind", ["global", "per_axis", "per_shape"])
def test_statistics(kind):
    data = module(normalize=kind)
    mean, std = data.statistics(data.clouds("train"))
    expected = brute_force(data.clouds("train").points.double().numpy(), kind)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-12)
    np.testing.assert_allclose(std, expected[1], rtol=1e-12)
    made = data.normalization()
    assert made["mean"].shape == (1, 1, 3) and made["std"].shape[:2] == (1, 1) and made["std"].dtype == torch.float32
    part = data.statistics(data.clouds("val"))
    if kind == "per_shape":
        np.testing.assert_allclose(part[0], data.clouds("val").points.double().mean(1, keepdim=True), rtol=1e-12)
    else:
        assert part[0] is mean


def test_statistics_far_from_the_origin():
    points = torch.randn(5, 100, 3, generator=torch.Generator().manual_seed(0)).double() + 1e6
    _, std = statistics(points, "per_axis")
    np.testing.assert_allclose(std[0, 0], points.reshape(-1, 3).numpy().std(axis=0), rtol=1e-9)


def test_no_normalisation_and_a_cloud_that_has_none():
    assert torch.equal(module(normalize="none").normalization()["std"], torch.ones(1, 1, 1))
    with pytest.raises(ValueError, match="all coincide"):
        statistics(torch.ones(2, 5, 3), "per_shape")
    with pytest.raises(ValueError, match="unknown normalisation 'shape'"):
        statistics(torch.ones(2, 5, 3), "shape")


def test_rotation_is_about_the_vertical_axis():
    points = torch.randn(3, 50, 3, dtype=torch.float64)
    angles = torch.tensor([0.0, torch.pi / 2, 1.0], dtype=torch.float64)
    turned = rotate_about_y(points, angles)
    cos, sin = angles[2].cos(), angles[2].sin()
    matrix = torch.tensor([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], dtype=torch.float64)
    torch.testing.assert_close(turned[0], points[0])
    torch.testing.assert_close(turned[1], torch.stack((points[1, :, 2], points[1, :, 1], -points[1, :, 0]), dim=-1))
    torch.testing.assert_close(turned[2], points[2] @ matrix)


def test_augmentation_is_for_training_only():
    plain, turned = module(normalize="none"), module(normalize="none", rotate=True)
    for data in (plain, turned):
        torch.manual_seed(0)
        data.batch = data.dataset("train").__getitems__(range(10))["points"]
    assert torch.equal(plain.batch[..., 1], turned.batch[..., 1])
    torch.testing.assert_close(plain.batch.norm(dim=-1), turned.batch.norm(dim=-1))
    assert not torch.allclose(plain.batch, turned.batch)
    assert torch.equal(turned.dataset("val")[0]["points"], plain.dataset("val")[0]["points"])
    torch.manual_seed(0)
    noisy = module(normalize="none", jitter=0.5).dataset("train").__getitems__(range(10))["points"]
    assert 0.4 < (noisy - plain.batch).std() < 0.6


def test_the_evaluation_split_can_be_the_validation_split():
    assert len(module().dataset("test")) == 3 and len(module(evaluation="val").dataset("test")) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalize": "shape"}, "normalize must be one of global"),
        ({"evaluation": "train"}, "evaluation must be"),
        ({"jitter": -1.0}, "jitter >= 0, got 30, 20, -1"),
        ({"points": 41, "replacement": False}, "training points must be between 1 and 40 .* got 41"),
        ({"first_rows": 60}, "first_rows must be between 1 and 59 .*got 60"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        module(**options).dataset("train")


def test_too_many_evaluation_points():
    with pytest.raises(ValueError, match="evaluation points must be between 1 and 20 for clouds of 60 points, got 21"):
        module(eval_points=21).dataset("val")
    assert module(points=41).dataset("train")[0]["points"].shape == (41, 3)


def test_held_out_shapes():
    kept, drawn = held_out(10, 3, 0, "validation")
    assert len(drawn) == 3 and sorted(kept + drawn) == list(range(10))
    assert (kept, drawn) == held_out(10, 3, 0, "validation") != held_out(10, 3, 1, "validation")
    clouds = module().clouds("train")
    part = clouds.subset(drawn)
    assert torch.equal(part.points[1], clouds.points[drawn[1]]) and part.labels[1] == clouds.labels[drawn[1]]
    assert part.names[1] == clouds.names[drawn[1]]
    with pytest.raises(ValueError, match="validation must be between 1 and 9 for 10 shapes, got 10"):
        held_out(10, 10, 0, "validation")


def test_gather_takes_the_right_rows():
    clouds = Clouds(torch.arange(2 * 5 * 3).float().view(2, 5, 3), torch.zeros(2).long(), ["a", "b"], ["a"])
    rows = torch.tensor([[4, 0], [1, 1]])
    gathered = CloudSet(clouds, torch.zeros(1, 1, 3), torch.ones(1, 1, 1), 2, training=True).gather(
        torch.tensor([1, 0]), rows
    )
    assert torch.equal(gathered, torch.stack((clouds.points[1, [4, 0]], clouds.points[0, [1, 1]])))

"""The toy data module: fixed sets, streams that repeat, pictures as densities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from flowsuite.core.data import ImageDensity, Toy, sample_toy


def epoch(loader, number: int = 0) -> torch.Tensor:
    loader.set_epoch(number)
    return torch.stack(list(loader))


def test_training_has_new_points_every_epoch_that_can_be_repeated():
    first, second = (Toy("moons", train=64, batch_size=16).train_dataloader() for _ in range(2))
    one, two = epoch(first, 0), epoch(first, 1)
    assert one.shape == (4, 16, 2) and one.dtype == torch.float32
    assert len(torch.cat([one.flatten(0, 1), two.flatten(0, 1)]).unique(dim=0)) == 128
    torch.rand(5)
    assert torch.equal(epoch(second, 1), two) and torch.equal(epoch(second, 0), one)


def test_resumes_in_mid_epoch():
    whole = epoch(Toy("rings", train=64, batch_size=16).train_dataloader(), 0)
    loader = Toy("rings", train=64, batch_size=16).train_dataloader()
    loader.load_state_dict({"epoch": 0, "batch": 3})
    assert torch.equal(torch.stack(list(loader)), whole[3:])


def test_fixed_sets():
    data = Toy("8gaussians", train=40, val=30, test=20, batch_size=10, resample=False)
    rows = {split: data.dataset(split).x for split in ("train", "val", "test")}
    assert [len(x) for x in rows.values()] == [40, 30, 20]
    assert len(torch.cat(list(rows.values())).unique(dim=0)) == 90
    again = Toy("8gaussians", train=40, val=30, test=20, batch_size=7)
    assert torch.equal(again.dataset("test").x, rows["test"]) and torch.equal(again.dataset("val").x, rows["val"])
    assert not torch.equal(Toy("8gaussians", test=20, seed=1).dataset("test").x, rows["test"])
    seen = epoch(data.train_dataloader()).flatten(0, 1)
    assert torch.equal(seen.sort(0).values, rows["train"].sort(0).values)
    assert torch.equal(torch.cat(list(data.val_dataloader())), rows["val"])


def test_the_set_is_the_density():
    x = Toy("8gaussians", test=20_000).dataset("test").x
    y = sample_toy("8gaussians", 20_000, 9)
    assert torch.allclose(x.mean(0), y.mean(0), atol=0.06) and torch.allclose(x.T.cov(), y.T.cov(), atol=0.15)


@pytest.fixture
def picture(tmp_path):
    """2 rows of 4 pixels, brightest value 200: weights 0 100 200 0 above 50 0 0 50."""
    pixels = np.array([[200, 100, 0, 200], [150, 200, 200, 150]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "ink.png")
    return tmp_path / "ink.png"


def test_picture_is_sampled_by_its_ink(picture):
    density = ImageDensity(picture)
    x = density.sample(40_000, torch.Generator().manual_seed(0))
    assert x.shape == (40_000, 2) and x.dtype == torch.float32 and x.abs().max() <= 4
    counts = np.histogram2d(x[:, 1], x[:, 0], bins=(2, 4), range=((-4, 4), (-4, 4)))[0][::-1] / len(x)
    assert np.allclose(counts, np.array([[0, 100, 200, 0], [50, 0, 0, 50]]) / 400, atol=0.01)
    assert torch.equal(x, ImageDensity(picture).sample(40_000, torch.Generator().manual_seed(0)))


def test_density_of_a_picture(picture):
    density = ImageDensity(picture)
    x = torch.tensor([[1.0, 2.0], [-3.0, -2.0], [-3.0, 2.0], [9.0, 0.0], [0.0, -4.5]])
    expected = [math.log(0.5 / 8), math.log(0.125 / 8), -math.inf, -math.inf, -math.inf]
    assert density.log_density(x).tolist() == pytest.approx(expected)
    assert density.log_density(density.sample(5000)).isfinite().all()


def test_module_of_a_picture(picture):
    data = Toy(image=str(picture), train=64, val=20, batch_size=32)
    x = epoch(data.train_dataloader()).flatten(0, 1)
    assert x.shape == (64, 2) and ImageDensity(picture).log_density(x).isfinite().all()
    assert torch.equal(data.dataset("val").x, Toy(image=str(picture), val=20).dataset("val").x)


def test_workers_draw_the_same(picture):
    alone = epoch(Toy("2spirals", train=64, batch_size=16).train_dataloader())
    assert torch.equal(epoch(Toy("2spirals", train=64, batch_size=16, num_workers=2).train_dataloader()), alone)


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="unknown toy density 'star'"):
        Toy("star")
    with pytest.raises(ValueError, match="val must be at least 1 point, got 0"):
        Toy(val=0)
    with pytest.raises(FileNotFoundError, match=r"no\.png"):
        Toy(image=str(tmp_path / "no.png")).train_dataloader()
    Image.new("RGB", (5, 5), "white").save(tmp_path / "white.png")
    with pytest.raises(ValueError, match=r"white\.png: every pixel has the same value"):
        Toy(image=str(tmp_path / "white.png")).train_dataloader()
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.png: cannot be read as an image"):
        Toy(image=str(tmp_path / "text.png")).val_dataloader()

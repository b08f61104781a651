import colorsys
import math

import pytest
import torch

from flowsuite.core.data import sample_toy, toy_log_density
from flowsuite.core.training.plots import cubehelix, density_image, points_image

LUMA = torch.tensor([0.30, 0.59, 0.11], dtype=torch.float64)


def luma(picture):
    return torch.einsum("chw,c->hw", picture.double() / 255, LUMA)


def test_colours_grow_brighter_and_differ_in_hue():
    picture = cubehelix(torch.linspace(0, 1, 101, dtype=torch.float64)[None])
    assert (luma(picture)[0] - torch.linspace(0, 1, 101, dtype=torch.float64)).abs().max() < 0.01
    assert picture[:, 0, 0].tolist() == [0, 0, 0] and picture[:, 0, -1].tolist() == [255, 255, 255]
    hues = [colorsys.rgb_to_hsv(*(picture[:, 0, i].double() / 255).tolist())[0] for i in range(20, 90, 10)]
    assert max(hues) - min(hues) > 0.4
    assert cubehelix(torch.tensor([[math.nan]])).flatten().tolist() == [128, 128, 128]


def test_density_is_seen_where_it_is():
    picture = density_image(lambda x: toy_log_density("8gaussians", x - x.new_tensor([1.0, 0.0])), size=64)
    assert picture.shape == (3, 64, 64) and picture.dtype == torch.uint8
    brightness = luma(picture)

    def at(x, y):
        return brightness[int((4 - y) * 8), int((x + 4) * 8)]

    assert at(1.0, 2.83) > 0.8 and at(1.0, -2.83) > 0.8 and at(3.83, 0.0) > 0.8
    assert at(1.0, 0.0) < 0.05 and at(-3.9, -3.9) < 0.05 and at(-2.83, 0.0) < 0.1


def test_top_of_the_picture_is_up_and_its_window_may_be_oblong():
    picture = density_image(lambda x: -((x - x.new_tensor([0.5, 9.0])) ** 2).sum(-1), (0, 1, 0, 10), 20)
    brightest = luma(picture).argmax()
    assert brightest // 20 in (1, 2)
    assert torch.equal(
        points_image(torch.tensor([[0.5, 9.9]]), (0, 1, 0, 10), 20)[:, 0, 10], torch.tensor([255] * 3).byte()
    )


def test_points_and_density_agree():
    points = sample_toy("checkerboard", 200_000, 0)
    truth = luma(density_image(lambda x: toy_log_density("checkerboard", x), size=32))
    seen = luma(points_image(points, size=32))
    assert ((seen > 0.3) == (truth > 0.5)).all() and (seen[truth < 0.5] == 0).all()


def test_odd_values_and_errors():
    picture = density_image(lambda x: torch.where(x[:, 0] > 0, math.nan, -math.inf), size=4)
    assert (picture[:, :, :2] == 0).all() and (picture[:, :, 2:] == 128).all()
    assert (points_image(torch.full((3, 2), 9.0), size=8) == 0).all()
    with pytest.raises(ValueError, match="one value for each of 16 points"):
        density_image(lambda x: x, size=4)
    with pytest.raises(ValueError, match="bounds"):
        density_image(lambda x: x[:, 0], (1, -1, 0, 1))
    with pytest.raises(ValueError, match=r"shape \(N, 2\)"):
        points_image(torch.zeros(3, 3))

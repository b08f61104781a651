"""Pictures of clouds."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from flowsuite.core.training.pictures import encode_png, write_png
from flowsuite.pointclouds.render import contact_sheet, render_clouds, view, write_sheet


def ink(picture):
    """(H, W) where the picture is not white."""
    return (picture < 250).any(dim=0)


def line(axis: int, n: int = 200):
    """Points along an axis from -1 to 1, with one corner of a box so that all axes have an extent."""
    points = torch.zeros(1, n, 3)
    points[0, :, axis] = torch.linspace(-1, 1, n)
    return points


def test_up_is_up_and_right_is_right():
    front = {"azimuth": 0.0, "elevation": 0.0, "extent": 1.0, "size": 64}
    rows, columns = ink(render_clouds(line(1), **front)[0]).nonzero(as_tuple=True)
    assert rows.max() - rows.min() > 50 and columns.max() - columns.min() < 8
    rows, columns = ink(render_clouds(line(0), **front)[0]).nonzero(as_tuple=True)
    assert rows.max() - rows.min() < 8 and columns.max() - columns.min() > 50
    rows, columns = ink(render_clouds(line(2), **front)[0]).nonzero(as_tuple=True)
    assert rows.max() - rows.min() < 8 and columns.max() - columns.min() < 8
    points = torch.tensor([[[0.0, -1, 0]] * 100 + [[0.0, 1, 0]] * 100 + [[1.0, 1, 0]] * 100])
    drawn = ink(render_clouds(points, **front)[0])
    assert drawn[:32].sum() > 1.5 * drawn[32:].sum() and drawn[:32, 40:].any() and not drawn[32:, 40:].any()


def test_view_is_a_rotation():
    points = torch.randn(2, 30, 3)
    seen = view(points, 35.0, 22.0)
    torch.testing.assert_close(seen.norm(dim=-1), points.norm(dim=-1))
    basis = view(torch.eye(3)[None], 35.0, 22.0)[0]
    assert torch.linalg.det(basis) == pytest.approx(1, abs=1e-5)
    above = view(torch.tensor([[[0.0, 1.0, 0.0]]]), 35.0, 22.0)[0, 0]
    assert above[1] > 0.9 and above[2] > 0.3  # what is up goes up, and the eye looks from above


def test_nearer_points_cover_farther_ones():
    n = 500
    near, far = torch.rand(n, 3) - 0.5, torch.rand(n, 3) - 0.5
    near[:, 2], far[:, 2] = 0.5, -0.5
    values = torch.cat((torch.ones(n), torch.zeros(n)))[None]
    for order in (torch.arange(2 * n), torch.arange(2 * n).flip(0)):
        cloud = torch.cat((near, far))[order][None]
        picture = render_clouds(cloud, 64, values[:, order], radius=6, azimuth=0.0, elevation=0.0)[0].float()
        middle = picture[:, 20:44, 20:44].mean((1, 2))
        assert middle[0] > 180 and middle[1] > 170  # the colour of 1, a light yellow; that of 0 is dark blue


def test_values_colour_the_points():
    points = line(0)
    low_left = render_clouds(points, 64, points[..., 0], azimuth=0.0, elevation=0.0)[0].float()
    assert low_left[0, :, :20].mean() < low_left[0, :, -20:].mean()
    assert not torch.equal(low_left, render_clouds(points, 64, -points[..., 0], azimuth=0.0, elevation=0.0)[0].float())


def test_framing_ignores_place_scale_and_strays():
    cloud = torch.randn(1, 1000, 3, generator=torch.Generator().manual_seed(0))
    cloud = cloud / cloud.norm(dim=-1, keepdim=True)
    picture = render_clouds(cloud, 64)
    moved = render_clouds(1000 * cloud + 7.0, 64)
    assert ((picture.int() - moved.int()).abs() > 20).float().mean() < 0.02
    stray = cloud.clone()
    stray[0, 0] = 50.0
    assert ink(render_clouds(stray, 64)[0]).sum() > 0.8 * ink(picture[0]).sum()


def test_sheet_of_clouds_of_different_sizes(tmp_path):
    clouds = [torch.randn(n, 3) for n in (5, 50, 1)]
    sheet = contact_sheet(clouds, columns=2, size=32)
    assert sheet.shape == (3, 66, 66) and sheet.dtype == torch.uint8
    assert torch.equal(sheet[:, :32, 34:], render_clouds(clouds[1], 32)[0])
    path = write_sheet(tmp_path / "s.png", clouds, 2, size=32)
    assert np.array_equal(np.asarray(Image.open(path)), sheet.permute(1, 2, 0).numpy())


def test_chunks_make_no_difference():
    clouds = torch.randn(6, 12000, 3, generator=torch.Generator().manual_seed(0))
    together = render_clouds(clouds, 32, radius=3)
    for cloud, picture in zip(clouds, together, strict=True):
        assert torch.equal(render_clouds(cloud, 32, radius=3)[0], picture)


@pytest.mark.parametrize(
    ("clouds", "options", "message"),
    [
        (torch.zeros(2, 0, 3), {}, "at least one point"),
        (torch.zeros(2, 5, 2), {}, r"expected clouds \(B, N, 3\).*\(2, 5, 2\)"),
        ([], {}, "expected clouds"),
        (torch.tensor([[[0.0, 0, 0]], [[torch.inf, 0, 0]]]), {}, "cloud 1: 1 of 1 points are NaN or infinite"),
        (torch.zeros(2, 5, 3), {"size": 4}, "size must be at least 8"),
        (torch.zeros(2, 5, 3), {"values": torch.zeros(2, 4)}, r"finite values \(2, 5\)"),
    ],
)
def test_wrong_input(clouds, options, message):
    with pytest.raises(ValueError, match=message):
        render_clouds(clouds, **options)


@pytest.mark.parametrize("channels", [1, 3])
def test_png(channels, tmp_path):
    picture = torch.randint(256, (channels, 7, 13), dtype=torch.uint8)
    read = np.asarray(Image.open(io.BytesIO(encode_png(picture))))
    expected = picture[0] if channels == 1 else picture.permute(1, 2, 0)
    assert np.array_equal(read, expected.numpy())
    with pytest.raises(ValueError, match=r"uint8 picture \(1 or 3, H, W\)"):
        write_png(tmp_path / "a.png", picture.float())
    assert not (tmp_path / "a.png").exists()

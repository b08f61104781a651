"""The procedural shapes: reproducible, in bounds, uniform on their surfaces, different from one another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowsuite.pointclouds.data import ShapeNetPC15k, Shapes
from flowsuite.pointclouds.data_shapes import make_shapes
from flowsuite.pointclouds.families import FAMILIES, MAX_DRAWS, make_meshes
from flowsuite.pointclouds.shapes import write_shapes
from flowsuite.pointclouds.solids import box, cylinder, ellipsoid, merge, ring, vector
from flowsuite.pointclouds.surface import sample_surface, triangle_areas

ONE = torch.ones(1)


def area(solid) -> float:
    vertices, faces = solid
    return float(triangle_areas(vertices[0][faces]).sum())


def test_areas_of_solids():
    zero = torch.zeros(1, 3)
    assert area(box(zero, torch.tensor([[1.0, 2.0, 3.0]]))) == pytest.approx(22)
    assert area(cylinder(zero, 2 * ONE, ONE, segments=200)) == pytest.approx(6 * np.pi, rel=1e-3)
    assert area(cylinder(zero, 2 * ONE, ONE, 0 * ONE, segments=200)) == pytest.approx(np.pi * (1 + 5**0.5), rel=1e-3)
    assert area(ellipsoid(zero, torch.ones(1, 3), 100, 100)) == pytest.approx(4 * np.pi, rel=1e-3)
    assert area(ring(ONE, 0.25 * ONE, 1.0, 200, 100)) == pytest.approx(np.pi**2, rel=1e-3)
    assert area(ring(ONE, 0.25 * ONE, 0.5, 200, 100)) == pytest.approx(np.pi**2 / 2, rel=1e-3)
    assert area(merge([box(zero, torch.ones(1, 3)), box(zero + 3, torch.ones(1, 3))])) == pytest.approx(12)
    assert torch.equal(vector(1.0, ONE, 2.0), torch.tensor([[1.0, 1.0, 2.0]]))


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family):
    uniforms = torch.rand(200, MAX_DRAWS, generator=torch.Generator().manual_seed(0))
    vertices, faces = make_meshes(family, uniforms)
    assert vertices.isfinite().all() and faces.min() == 0 and faces.max() == vertices.shape[1] - 1
    extent = vertices.amax(1) - vertices.amin(1)
    torch.testing.assert_close(extent.norm(dim=1), torch.ones(200))
    assert extent.min() > 0.05 and extent.std(dim=0).max() > 0.01  # solid, and of different proportions
    assert (triangle_areas(vertices[:, faces]).sum(dim=1) > 0.2).all()
    points = make_shapes(family, "train", range(3), 2000)
    assert points.isfinite().all() and points.abs().max() <= 0.5


def test_points_lie_on_the_surface_and_are_uniform():
    faces = torch.tensor([[0, 1, 2], [0, 3, 1], [4, 5, 6], [0, 0, 1]])
    vertices = torch.tensor([[0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 0, 1], [9, 0, 0], [9, 1, 0], [9, 0, 2.0]])
    n = 40000
    points = sample_surface(vertices, faces, n, torch.Generator().manual_seed(0))
    on_first, on_last = points[:, 2] == 0, points[:, 0] == 9
    on_second = ~on_first & ~on_last
    for part, share in ((on_first, 8 / 11), (on_second, 2 / 11), (on_last, 1 / 11)):
        assert part.float().mean() == pytest.approx(share, abs=0.01)
    flat = points[on_first]
    assert flat.min() >= 0 and (flat.sum(1) <= 4 + 1e-5).all()
    torch.testing.assert_close(flat.mean(0), torch.tensor([4 / 3, 4 / 3, 0.0]), rtol=0, atol=0.03)
    # Cut parallel to a side at half the height, the corner has a quarter of the area.
    assert (flat[:, 0] > 2).float().mean() == pytest.approx(0.25, abs=0.015)
    again = sample_surface(vertices, faces, n, torch.Generator().manual_seed(0))
    assert torch.equal(points, again)


def test_wrong_surfaces():
    vertices = torch.rand(4, 3)
    with pytest.raises(ValueError, match=r"faces \(F, 3\).*\(0, 3\)"):
        sample_surface(vertices, torch.zeros(0, 3, dtype=torch.long), 5)
    with pytest.raises(ValueError, match="area 0"):
        sample_surface(vertices, torch.tensor([[1, 1, 2]]), 5)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        sample_surface(vertices, torch.tensor([[1, 2, 3]]), 0)


def test_a_shape_is_a_function_of_its_number():
    many, few = make_shapes("chair", "train", range(40), 50), make_shapes("chair", "train", [37, 2], 50)
    torch.testing.assert_close(few, many[[37, 2]])
    assert not torch.equal(many[0], many[1])
    for other in (make_shapes("chair", "val", [2], 50), make_shapes("chair", "train", [2], 50, seed=1)):
        assert not torch.allclose(other, many[2:3])


def test_shapes_module():
    data = Shapes(["chair", "torus"], train=5, val=2, test=3, rows=300, eval_points=100, points=64, batch_size=2)
    clouds = data.clouds("train")
    assert clouds.points.shape == (5, 300, 3) and clouds.labels.tolist() == [0, 1, 0, 1, 0]
    assert clouds.names[3] == "torus/train/00001" and clouds.categories == ["chair", "torus"]
    torch.testing.assert_close(clouds.points[3:4], make_shapes("torus", "train", [1], 300))
    batch = next(iter(data.train_dataloader()))
    assert batch["points"].shape == (2, 64, 3)
    made = data.normalization()
    torch.testing.assert_close(made["mean"][0, 0], clouds.points.mean((0, 1)))
    assert float(made["std"]) == pytest.approx(float(clouds.points.std(correction=0)), rel=1e-4)
    assert len(Shapes(families="car").families) == 1 and len(Shapes().families) == len(FAMILIES) >= 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"families": "chiar"}, "unknown family 'chiar'; did you mean 'chair'"),
        ({"families": ["car", "car"]}, "different names"),
        ({"families": []}, "one or more"),
        ({"train": 0}, "got 0, 64, 64, 15000"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        Shapes(**options)


def test_written_layout_is_that_of_pc15k(tmp_path):
    sizes = {"train": 3, "val": 1, "test": 1}
    assert sum(write_shapes(tmp_path, ["mug", "torus"], sizes, rows=300)) == 10
    data = ShapeNetPC15k(tmp_path, ["mug", "torus"], points=50, eval_points=50)
    clouds = data.clouds("train")
    assert (tmp_path / "03797390" / "train" / "00002.npy").is_file() and len(clouds) == 6
    row = clouds.names.index("torus/train/00001")
    torch.testing.assert_close(clouds.points[row : row + 1], make_shapes("torus", "train", [1], 300))

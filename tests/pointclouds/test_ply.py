"""Clouds written as PLY and read again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowsuite.pointclouds.ply import read_elements, read_ply_points, write_ply


def test_round_trip(tmp_path):
    points, scalar = torch.randn(50, 3), torch.randn(50)
    colors = torch.randint(256, (50, 3), dtype=torch.uint8)
    path = write_ply(tmp_path / "a.ply", points, scalar, colors)
    assert np.array_equal(read_ply_points(path), points.numpy())
    vertex = read_elements(path.read_bytes())["vertex"]
    assert np.array_equal(vertex["scalar"], scalar.numpy()) and np.array_equal(vertex["green"], colors[:, 1].numpy())
    write_ply(path, points)
    assert set(read_elements(path.read_bytes())["vertex"]) == {"x", "y", "z"}


def test_wrong_input_writes_nothing(tmp_path):
    path, points = tmp_path / "a.ply", torch.randn(5, 3)
    with pytest.raises(ValueError, match="1 of 5 points are NaN or infinite"):
        write_ply(path, torch.where(torch.arange(5)[:, None] == 2, torch.nan, points))
    with pytest.raises(ValueError, match=r"one scalar for each of 5 points, got \(4,\)"):
        write_ply(path, points, torch.zeros(4))
    with pytest.raises(ValueError, match=r"colors \(5, 3\) uint8, got torch.float32"):
        write_ply(path, points, None, torch.zeros(5, 3))
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match=r"a\.ply not found"):
        read_ply_points(path)
    path.write_bytes(b"ply\n")
    with pytest.raises(ValueError, match=r"a.ply: expected a PLY header"):
        read_ply_points(path)

"""The contenders compute the same figures, and the tables have a row for each; nothing here is timed."""

import argparse

import torch

from benchmarks import pointcloud_metrics as bench
from flowsuite.pointclouds.data_shapes import make_shapes
from flowsuite.pointclouds.distances import chamfer


def test_contenders_agree():
    x, y = (make_shapes("chair", "test", range(3), 200, seed).double() for seed in (0, 1))
    expected = chamfer(x, y)
    torch.testing.assert_close(bench.plain_chamfer(x, y), expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(torch.tensor(bench.tree_chamfer(x, y), dtype=torch.float64), expected)


def test_rows_of_every_contender(monkeypatch):
    monkeypatch.setattr(bench, "SEARCHES", ((4, 24),))
    monkeypatch.setattr(bench, "PAIRS", (2, 32))
    first, second = map(str, bench.tables(argparse.Namespace(rounds=1, device="cpu")))
    assert first.count("\n| ") == 6 and "| plain torch, B x N x M |" in first and "| 1.0 |" in first
    assert "| full matrices | 28 | 0 |" in second


def test_pruning_solves_fewer():
    rows = bench.run_search(8, 24)
    solved = [row["solved"] for row in rows.values()]
    assert solved[0] == 8 * 15 > solved[1] > solved[2] > 0

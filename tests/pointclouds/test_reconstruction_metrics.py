from __future__ import annotations

import pytest
import torch

from flowsuite.pointclouds import reconstruction_metrics
from flowsuite.pointclouds.distances import chamfer, emd
from flowsuite.pointclouds.reconstruction_metrics import evaluate_reconstruction, f_score, linear_probe
from tests.pointclouds.clouds_made import boxes


def test_f_score_by_hand():
    y = torch.tensor([[[0.0, 0, 0], [10, 0, 0], [0, 5, 0]]])
    x = torch.tensor([[[0.05, 0, 0], [10, 0.3, 0]]])
    # longest edge 10, so that 1 % is 0.1: precision 1/2, recall 1/3
    assert f_score(x, y).item() == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert f_score(x, y, tau=0.4, relative=False).item() == pytest.approx(2 * 1 * (2 / 3) / (1 + 2 / 3))
    assert f_score(y, y).item() == 1 and f_score(y + 3, y).item() == 0


def test_means_over_shapes_and_oracle(monkeypatch):
    monkeypatch.setattr(reconstruction_metrics, "CHUNK", 2)
    x, y, inputs = (boxes(5, 40, seed, torch.float64) for seed in (0, 1, 2))
    figures = evaluate_reconstruction(x, y, inputs, progress=False)
    for row, clouds in (("", x), ("oracle ", inputs)):
        assert figures[f"{row}CD"] == pytest.approx(chamfer(clouds, y).mean().item())
        assert figures[f"{row}EMD"] == pytest.approx(emd(clouds, y).mean().item())
        assert figures[f"{row}F-score"] == pytest.approx(f_score(clouds, y).mean().item())
    assert set(figures) == set(reconstruction_metrics.SCALES)
    only = evaluate_reconstruction(x, boxes(5, 30, 1), metrics=["cd"], progress=False)
    assert set(only) == {"CD"}
    assert set(evaluate_reconstruction(x, y, metrics=["emd"], progress=False)) == {"EMD"}


def test_wrong_input():
    x = boxes(4, 10, 0)
    with pytest.raises(ValueError, match="reconstructed clouds: 3, expected 4"):
        evaluate_reconstruction(x[:3], x)
    with pytest.raises(ValueError, match="oracle clouds: 2, expected 4"):
        evaluate_reconstruction(x, x, x[:2], metrics=["cd"])
    with pytest.raises(ValueError, match="equal size, got 12 and 10"):
        evaluate_reconstruction(boxes(4, 12, 0), x)
    with pytest.raises(ValueError, match="input clouds: cloud 1"):
        evaluate_reconstruction(x, x, x * torch.tensor([1.0, torch.nan, 1, 1])[:, None, None])
    with pytest.raises(ValueError, match="tau"):
        f_score(x, x, tau=0.0)


def test_linear_probe():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    codes = 4 * torch.eye(3)[labels] + 0.3 * torch.randn(60, 3, generator=generator)
    assert linear_probe(codes[:30], labels[:30], codes[30:], labels[30:]) == 1.0
    assert linear_probe(codes[:30], labels[:30], codes[30:], (labels[30:] + 1) % 3) == 0.0


def test_linear_probe_with_wrong_codes():
    codes, labels = torch.randn(6, 4), torch.arange(6) % 2
    for arguments, message in [
        ((codes, labels[:5], codes, labels), "training codes: shapes"),
        ((codes, labels, codes[:, :3], labels), "codes of 4 dimensions in training and 3"),
        ((codes, labels * 0, codes, labels), "all of one class"),
        ((codes, labels, codes / 0, labels), "test codes: row 0 has NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            linear_probe(*arguments)

"""`compare` on files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from flowsuite.core.training.cli import main as flowsuite
from flowsuite.pointclouds.compare import main, read_set
from flowsuite.pointclouds.metrics import SCALES, evaluate_generations
from tests.pointclouds.clouds_made import boxes


@pytest.fixture
def sets(tmp_path):
    """Three generated sets and a reference set, 5 x 24 x 3, as .npy, .npz and folders."""
    for i in range(4):
        np.save(tmp_path / f"{i}.npy", boxes(5, 24, i).numpy())
    np.savez(tmp_path / "1.npz", clouds=boxes(5, 24, 1).numpy(), seed=np.arange(3))
    (tmp_path / "single").mkdir()
    for i, cloud in enumerate(boxes(5, 24, 2).numpy()):
        np.save(tmp_path / "single" / f"{i}.npy", cloud)
    (tmp_path / "batches").mkdir()
    np.save(tmp_path / "batches" / "a.npy", boxes(5, 24, 3)[:2].numpy())
    np.save(tmp_path / "batches" / "b.npy", boxes(5, 24, 3)[2:].numpy())
    return tmp_path


def test_every_layout_is_read(sets):
    for name, seed in (("0.npy", 0), ("1.npz", 1), ("single", 2), ("batches", 3)):
        assert torch.equal(read_set(str(sets / name)), boxes(5, 24, seed))


def test_table_and_report(sets, capsys):
    generated = [str(sets / name) for name in ("1.npz", "single", "batches")]
    report = sets / "out" / "report.json"
    assert main([*generated, str(sets / "0.npy"), "--quiet", "--device", "cpu", "--json", str(report)]) == 0
    printed = capsys.readouterr().out
    expected = evaluate_generations([boxes(5, 24, i) for i in (1, 2, 3)], boxes(5, 24, 0), progress=False)
    written = json.loads(report.read_text())
    assert written["clouds"] == 5 and written["points"] == [24, 24]
    for name, spread in expected.items():
        factor, unit = SCALES[name]
        assert written["figures"][name]["values"] == pytest.approx(spread.values)
        line = next(line for line in printed.splitlines() if line.split()[0] == name)
        assert line.split()[1:4] == [f"{factor * spread.mean:.3f}", "+-", f"{factor * spread.sd:.3f}"]
        assert line.endswith(unit)
    assert "3 sample sets of 5 clouds of 24 points" in printed


def test_by_the_command_line(sets, capsys):
    arguments = ["pointclouds", "compare", str(sets / "1.npy"), str(sets / "0.npy"), "--metrics", "cd", "--quiet"]
    assert flowsuite(arguments) == 0
    assert "1-NNA-CD" in capsys.readouterr().out
    assert flowsuite([*arguments, "--points", "99"]) == 1
    assert capsys.readouterr().err.strip().endswith("0.npy: 24 points, asked for 99")


def test_one_set_has_no_spread(sets, capsys):
    report = sets / "report.json"
    main([str(sets / "1.npy"), str(sets / "0.npy"), "--quiet", "--metrics", "cd", "jsd", "--json", str(report)])
    printed = capsys.readouterr().out
    assert "+-" not in printed and "EMD" not in printed and "1 sample set of 5" in printed
    assert json.loads(report.read_text())["figures"]["JSD"]["sd"] is None


def test_parts_of_the_sets(sets, capsys):
    np.save(sets / "large.npy", boxes(7, 30, 5).numpy())
    common = ["--quiet", "--metrics", "cd", "emd"]
    main([str(sets / "large.npy"), str(sets / "0.npy"), *common, "--num", "4", "--points", "20"])
    assert "4 clouds of 20 points" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"0\.npy: 24 points, asked for 25"):
        main([str(sets / "large.npy"), str(sets / "0.npy"), *common, "--points", "25"])
    with pytest.raises(ValueError, match=r"large\.npy: 7 clouds against 5 references"):
        main([str(sets / "large.npy"), str(sets / "0.npy"), *common])


def test_wrong_files(sets):
    (sets / "empty").mkdir()
    (sets / "text.txt").write_text("no clouds")
    (sets / "empty.npy").write_bytes(b"")
    (sets / "broken.npz").write_bytes(b"no archive")
    np.savez(sets / "two.npz", a=boxes(2, 5, 0).numpy(), b=boxes(2, 5, 0).numpy())
    np.save(sets / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(sets / "flat.npy", np.zeros((5, 3)))
    np.save(sets / "nan.npy", np.full((2, 5, 3), np.nan))
    (sets / "mixed").mkdir()
    np.save(sets / "mixed" / "a.npy", np.zeros((2, 5, 3)))
    np.save(sets / "mixed" / "b.npy", np.zeros((2, 6, 3)))
    wrong = {
        "nothing.npy": "nothing.npy not found",
        "nothing.npz": "nothing.npz not found",
        "empty": "holds no .npy",
        "text.txt": r"expected a \.npy, a \.npz or a folder",
        "empty.npy": "empty.npy: .*empty",
        "broken.npz": "broken.npz: not a readable",
        "two.npz": r"expected one array of shape .* got a \(2, 5, 3\), b",
        "object.npy": "object.npy: not a readable",
        "flat.npy": r"flat.npy: got shape \(5, 3\)",
        "nan.npy": "nan.npy: cloud 0 has NaN",
        "mixed": r"b\.npy: 6 points a cloud, but .*a\.npy has 5",
    }
    for name, message in wrong.items():
        with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
            read_set(str(sets / name))
        assert "\n" not in str(caught.value)

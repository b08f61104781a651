"""The demo: its page with a tiny run, and what the recipe promises with a whole one."""

from __future__ import annotations

import json

import pytest

from flowsuite.video import demo


def test_report_becomes_words():
    shapes = {"coverage": 0.9375, "least_coverage": 0.875, "all_kept": 0.5, "counts": [1, 1, 1, 1, 1, 1, 1, 1]}
    shapes |= {"shape_kept": 0.75, "colour_kept": 1.0, "size_kept": 0.5}
    report = {"videos": 8, "given": 1, "frames": 2, "samples": 100, "shapes": shapes, "bits_per_dim": {"one_draw": 0.5}}
    assert "0.500 bits/dim" in demo.describe(report) and "hit 7.5 (the worst context 7)" in demo.describe(report)
    table = demo.shape_table(report).splitlines()
    assert len(table) == 11 and table[0].split() == ["east", "12.5%", "of", "the", "directions"]


@pytest.mark.slow
def test_demo_recipe_learns_the_eight_directions(tmp_path, capsys):
    """Trains for about two minutes: well under 1 bit/dim, at least 7 of 8 directions in 100 draws."""
    section = demo.run(tmp_path / "video")
    report = json.loads((tmp_path / "video" / "evaluation" / "report.json").read_text())
    shapes = report["shapes"]
    with capsys.disabled():
        print(f"\n{section.text}\n{section.table}")
    assert report["bits_per_dim"]["one_draw"] < 0.7
    assert 8 * shapes["coverage"] >= 7
    assert all(path.is_file() for path, _ in section.figures)

"""The demo: its page with a tiny run, and what the recipe promises with a whole one."""

from __future__ import annotations

import json

import pytest

from flowsuite.core.training.demo import main as page_of
from flowsuite.video import demo
from tests.pages import embedded


def test_report_becomes_words():
    shapes = {"coverage": 0.9375, "least_coverage": 0.875, "all_kept": 0.5, "counts": [1, 1, 1, 1, 1, 1, 1, 1]}
    shapes |= {"shape_kept": 0.75, "colour_kept": 1.0, "size_kept": 0.5}
    report = {"videos": 8, "given": 1, "frames": 2, "samples": 100, "shapes": shapes, "bits_per_dim": {"one_draw": 0.5}}
    assert "0.500 bits/dim" in demo.describe(report) and "hit 7.5 (the worst context 7)" in demo.describe(report)
    table = demo.shape_table(report).splitlines()
    assert len(table) == 11 and table[0].split() == ["east", "12.5%", "of", "the", "directions"]


def test_page_shows_what_was_made(tmp_path, monkeypatch):
    flow = {"steps": 1, "width": 8, "prior_width": 8, "prior_channels": 4}
    short = [f"--model.init_args.flow.init_args.{key}={value}" for key, value in flow.items()]
    short += ["--data.init_args.batch_size=2", "--model.init_args.init_batches=1", "--trainer.limit_train_batches=2"]
    short += ["--trainer.limit_val_batches=1", "--trainer.log_every_n_steps=1"]
    run = demo.run
    for name, fewer in {"CONTEXTS": 1, "SAMPLES": 2}.items():
        monkeypatch.setattr(demo, name, fewer)
    monkeypatch.setattr(demo, "run", lambda folder, options: run(folder, [*short, *options]))
    assert page_of(["--out", str(tmp_path), "--only", "video"]) == 0
    page, shown = (tmp_path / "index.html").read_text(), embedded(tmp_path / "index.html")
    assert len(shown["image/gif"]) == 3 and len(shown["image/png"]) == 1
    assert page.count("<polyline ") == 1 and "of the directions</td>" in page
    assert "flowsuite video evaluate --ckpt_path" in page


@pytest.mark.slow
def test_demo_recipe_learns_the_eight_directions(tmp_path, capsys):
    """Trains for about two minutes: well under 1 bit/dim, at least 7 of 8 directions in 100 draws, forms kept."""
    section = demo.run(tmp_path / "video")
    report = json.loads((tmp_path / "video" / "evaluation" / "report.json").read_text())
    shapes = report["shapes"]
    with capsys.disabled():
        print(f"\n{section.text}\n{section.table}")
    assert report["bits_per_dim"]["one_draw"] < 0.5
    assert 8 * shapes["least_coverage"] >= 7
    assert shapes["all_kept"] > 0.8
    assert all(path.is_file() for path, _ in section.figures)

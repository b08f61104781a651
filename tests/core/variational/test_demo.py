"""The variational part of the demo page, small."""

from __future__ import annotations

import re

from flowsuite.core.training import demo
from flowsuite.core.training.demo_parts import find_parts
from flowsuite.core.variational import demo as variational_demo
from tests.pages import embedded


def test_page_shows_densities_beside_their_fits(tmp_path, monkeypatch):
    short = ["--steps", "10", "--batch_size", "16", "--workers", "1"]
    run = variational_demo.run
    monkeypatch.setattr(variational_demo, "LAYERS", 1)
    monkeypatch.setattr(variational_demo, "run", lambda folder, options: run(folder, [*short, *options]))
    assert demo.main(["--out", str(tmp_path), "--only", "variational"]) == 0
    page = (tmp_path / "index.html").read_text()
    assert len(embedded(tmp_path / "index.html")["image/png"]) == 1
    assert page.count("<polyline ") == 4 and "U4, splines" in page
    rows = [re.findall("<td[^>]*>([^<]*)", line) for line in re.findall("<tr><td[^>]*>U[1-4]<.*?</tr>", page)]
    assert [row[:2] for row in rows] == [[f"U{i}", kind] for i in range(1, 5) for kind in ("planar", "spline")]
    assert all(float(row[2]) > 0 and 0 < float(row[3]) <= 1 for row in rows)
    assert "flowsuite variational --kinds planar spline" in page


def test_every_room_with_a_demo_has_a_section():
    found = find_parts()
    assert found["variational"].module == "flowsuite.core.variational.demo" and found["variational"].seed == "--seed"
    assert found["images"].module == "flowsuite.images.demo" and found["vae"].module == "flowsuite.images.vae.demo"
    assert list(found) == ["images", "vae", "variational", "pointclouds", "molecules", "audio", "video"]

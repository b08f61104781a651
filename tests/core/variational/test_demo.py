"""The variational part of the demo page, small."""

from __future__ import annotations

import re

from flowsuite.core.training import demo
from flowsuite.core.variational import demo as variational_demo


def test_page_shows_densities_beside_their_fits(tmp_path, monkeypatch):
    short = ["--steps", "10", "--batch_size", "16", "--workers", "1"]
    run = variational_demo.run
    monkeypatch.setattr(variational_demo, "LAYERS", 1)
    monkeypatch.setattr(variational_demo, "run", lambda folder, options: run(folder, [*short, *options]))
    assert demo.main(["--out", str(tmp_path), "--only", "variational"]) == 0
    page = (tmp_path / "index.html").read_text()
    (picture,) = re.findall(r'<img src="([^"]+)"', page)
    assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    rows = [line.split() for line in page.splitlines() if re.match(r" +U[1-4] ", line)]
    assert [row[:2] for row in rows] == [[f"U{i}", kind] for i in range(1, 5) for kind in ("planar", "spline")]
    assert all(float(row[2]) > 0 and 0 < float(row[3]) <= 1 for row in rows)
    assert "flowsuite variational --kinds planar spline" in page


def test_every_room_with_a_demo_has_a_section():
    found = demo.section_modules()
    assert found["variational"] == "flowsuite.core.variational.demo"
    assert found["images"] == "flowsuite.images.demo" and found["vae"] == "flowsuite.images.vae.demo"
    assert "training" not in found

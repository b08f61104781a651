"""Histograms as a picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from flowsuite.molecules.bars import COLOURS, GAP, HEIGHT, MARGIN, MOST, draw_bars, order, shares, write_bars


def heights(picture: Image.Image, row: int, name: str) -> list[int]:
    """Pixels of every bar of one colour, left to right, in one row of the picture."""
    top = row * (HEIGHT + 3 * MARGIN)
    pixels = np.asarray(picture)[top + MARGIN : top + MARGIN + HEIGHT + 1]
    columns = (pixels == COLOURS[name]).all(2).sum(0)
    edges = np.flatnonzero(np.diff((columns > 0).astype(int)) == 1) + 1
    return [int(columns[edge]) for edge in edges]


def made(reference: dict, generated: dict) -> dict:
    return {"reference": {"size": reference}, "generated": {"size": generated}}


def test_bars_are_as_high_as_shares():
    picture = draw_bars(made({4: 10, 5: 30}, {"4": 3, "5": 1}))  # keys of JSON are strings
    assert heights(picture, 0, "reference") == pytest.approx([HEIGHT / 3, HEIGHT], abs=2)
    assert heights(picture, 0, "generated") == pytest.approx([HEIGHT, HEIGHT / 3], abs=2)


def test_entries_of_one_side_only():
    picture = draw_bars(made({"1": 1, "10": 1}, {"9": 4}))
    assert heights(picture, 0, "generated") == pytest.approx([HEIGHT], abs=2)
    assert max(heights(picture, 0, "reference")) == pytest.approx(HEIGHT / 2, abs=2)


def test_one_row_a_table_wide_enough_for_the_most_entries():
    tables = {"size": {str(i): i + 1 for i in range(40)}, "atom type": {"C": 5, "N": 1}}
    picture = draw_bars({"reference": tables, "generated": tables})
    assert picture.size == (2 * MARGIN + MOST * (28 + GAP), 2 * (HEIGHT + 3 * MARGIN))
    assert len(heights(picture, 1, "generated")) == 2


def test_nothing_generated():
    picture = draw_bars(made({"1": 1}, {}))
    assert not heights(picture, 0, "generated") and heights(picture, 0, "reference")
    assert draw_bars(made({}, {})).size[0] == 420


def test_order_and_shares():
    assert sorted(["10", "9", "N", "C", "2"], key=order) == ["2", "9", "10", "C", "N"]
    assert shares({5: 1, "6": 3}) == {"5": 0.25, "6": 0.75} and shares({}) == {}


def test_file(tmp_path):
    path = write_bars(tmp_path / "bars.png", made({"1": 1}, {"1": 1}))
    assert path.read_bytes().startswith(b"\x89PNG") and len(list(tmp_path.iterdir())) == 1

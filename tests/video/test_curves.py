"""Line charts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from flowsuite.video.curves import COLOURS, draw_curves, span, ticks, write_curves


def test_ticks_are_round_and_inside():
    assert ticks(0.0, 1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(3.0, 47.0) == pytest.approx([10, 20, 30, 40])
    assert span([1.0, 1.0])[0] < 1 < span([1.0, 1.0])[1]


def test_a_higher_value_is_higher_in_the_picture():
    picture = np.array(draw_curves("a title", "t", [1, 2, 3], {"up": [0.0, 1.0, 5.0]}))
    rows, columns = np.nonzero((picture[32:] == COLOURS[0]).all(-1))
    assert rows[columns == columns.min()].mean() > rows[columns == columns.max()].mean() + 100


def test_missing_values_are_left_out_and_wrong_lengths_named(tmp_path):
    charts = [("t", "x", [1, 2], {"a": [math.nan, 1.0], "b": [math.inf, math.nan]})] * 3
    with Image.open(write_curves(tmp_path / "c.png", charts)) as image:
        assert image.size == (960, 600)
    with pytest.raises(ValueError, match="curve 'a' has 1 points for 2 places"):
        draw_curves("t", "x", [1, 2], {"a": [1.0]})

"""`flowsuite audio overlap`: errors shrink with the margin, and vanish at the reach."""

import json
import math

import pytest
import torch

from flowsuite.audio.overlap import compare, measure, smallest_safe
from flowsuite.audio.sources import source_of_wave
from flowsuite.audio.streaming import reach
from flowsuite.audio.synthesis import Synthesizer
from flowsuite.audio.wave_files import write_wave
from flowsuite.core.training.cli import main as flowsuite
from tests.audio.test_sources import voice
from tests.audio.vocoders_made import small_checkpoint, small_module


def test_errors_shrink_with_the_margin():
    module = small_module()
    sources = [source_of_wave(name, voice(n), module.mel) for name, n in (("a", 4000), ("b", 3001), ("short", 100))]
    rows = measure(Synthesizer(module), sources, [0, 3, reach(module.flow)], piece=0.05)
    assert rows[0]["worst"] > rows[1]["worst"] > rows[2]["worst"] and rows[2]["worst"] < 0.1
    assert rows[0]["error_db"] > rows[2]["error_db"] and rows[0]["changed"] > 0.01 > rows[2]["changed"]
    assert [row["cost"] for row in rows] == [1, 1 + 6 / 100, 1 + 2 * reach(module.flow) / 100]
    faded = measure(Synthesizer(module), sources, [0, 3], piece=0.05, fade=6)
    assert faded[0] == rows[0] and faded[1] != rows[1]
    with pytest.raises(ValueError, match="no clip is longer than a piece of 1 s"):
        measure(Synthesizer(module), sources, [0], piece=1)


def test_figures():
    whole = torch.tensor([0.5, -0.5, 0.5, -0.5])
    figures = compare([whole[:1], whole[1:]], [whole + torch.tensor([0.0, 2 / 32768, 0.0, 0.0])])
    assert figures["worst"] == pytest.approx(2) and figures["changed"] == 0.25
    assert figures["error_db"] == pytest.approx(10 * math.log10((2 / 32768) ** 2 / 4 / 0.25), abs=1e-6)
    assert compare([whole], [whole]) == {"worst": 0, "error_db": -math.inf, "changed": 0}


def test_the_smallest_safe_margin_is_one_from_which_on_all_are():
    def rows(*worst):
        return [{"margin": m, "worst": w} for m, w in zip((0, 10, 20, 30), worst, strict=True)]

    assert smallest_safe(rows(9, 1, 0.4, 0.3)) == 20
    assert smallest_safe(rows(9, 0.1, 0.6, 0.3)) == 30
    assert smallest_safe(rows(9, 1, 1, math.nan)) is None


def test_command(tmp_path, capsys):
    write_wave(tmp_path / "a.wav", voice(4000), 8000)
    checkpoint = small_checkpoint(tmp_path / "m.ckpt")
    argv = ["audio", "overlap", "--ckpt_path", str(checkpoint), "--data", str(tmp_path / "a.wav"), "--device", "cpu"]
    argv += ["--piece", "0.1", "--margins", "0", "40", "--json", str(tmp_path / "o.json")]
    assert flowsuite(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[2].endswith("<") and not lines[1].endswith("<")
    assert lines[3].startswith("exact whatever the weights: 18 columns (0.01 s)")
    report = json.loads((tmp_path / "o.json").read_text())
    assert report["smallest_safe"] == 40 and [row["margin"] for row in report["rows"]] == [0, 40]
    assert flowsuite([*argv, "--piece", "0"]) == 1 and "--piece must be positive" in capsys.readouterr().err

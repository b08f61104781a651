"""The demo page: text, tables, figures and curves, all in one file."""

from __future__ import annotations

import base64
import re
import wave

import numpy as np
import pytest
import torch

from flowsuite.core.training.curves import draw_curves, losses_of, ticks
from flowsuite.core.training.demo_page import Section, pack_cloud, render_table, write_page
from flowsuite.core.training.pictures import write_png
from tests.pages import CHROMIUM, embedded, open_in_browser


def cells(table: str) -> list[list[str]]:
    return [re.findall(r"<t[hd][^>]*>([^<]*)", row) for row in re.findall(r"<tr>.*?</tr>", table)]


def test_text_is_escaped(tmp_path):
    section = Section("<b>", "a & b", commands=["x > y"], headline={"<i>": "1 < 2"}, table="a<  1\nb<  2")
    page = write_page([section], tmp_path, "<u>").read_text()
    for escaped in ("&lt;b&gt;", "a &amp; b", "x &gt; y", "&lt;i&gt;", "1 &lt; 2", "a&lt;", "&lt;u&gt;"):
        assert escaped in page
    assert "<i>" not in page and "<u>" not in page


def test_markdown_and_columns_become_tables():
    markdown = "| system | M-STFT ↓ | n |\n| --- | ---: | --- |\n| a b | 1.5 | - |"
    table = render_table(markdown)
    assert cells(table) == [["system", "M-STFT ↓", "n"], ["a b", "1.5", "-"]] and table.count("<th>") == 3
    table = render_table("      target    ess\n          U1   0.99\n          U2  -1e-3")
    assert cells(table) == [["target", "ess"], ["U1", "0.99"], ["U2", "-1e-3"]] and table.count('"number"') == 2
    table = render_table("east             12.5% of the directions\nshape kept     100.0%")
    assert cells(table)[1] == ["shape kept", "100.0%"] and "<th>" not in table
    assert render_table("a  b\nc") == "<pre>a  b\nc</pre>" and render_table("") == ""


def test_sounds_stand_beside_the_picture_after_them(tmp_path):
    write_png(tmp_path / "a.png", torch.zeros(3, 4, 4, dtype=torch.uint8))
    for name in ("a", "b"):
        (tmp_path / f"{name}.wav").write_bytes(b"RIFF" + name.encode())
    named = [(tmp_path / name, name) for name in ("a.wav", "b.wav", "a.png", "a.png", "b.wav")]
    path = write_page([Section("Sounds", "", figures=named)], tmp_path)
    assert [len(found) for found in embedded(path).values()] == [2, 0, 3]
    assert re.findall(r"<audio|<img|sounds\"", path.read_text().split("<body>")[1].split("<script>")[0]) == [
        'sounds"', "<audio", "<audio", "<img", "<img", "<audio",
    ]  # fmt: skip


def test_clouds_are_packed_whole(tmp_path):
    points = np.random.default_rng(0).normal(size=(3, 40, 3)).astype("float32") + 5
    np.save(tmp_path / "clouds.npy", points)
    page = write_page([Section("Clouds", "", figures=[(tmp_path / "clouds.npy", "turn")])], tmp_path).read_text()
    packed = re.findall('data-points="([^"]+)"', page)
    assert packed == [pack_cloud(cloud) for cloud in points]
    read = np.frombuffer(base64.b64decode(packed[0]), "<i2").reshape(-1, 3) / 32767
    assert abs(read).max() == 1
    spread = points[0] - points[0].mean(0)
    scale = np.ptp(spread, 0).max() / np.ptp(read, 0).max()
    assert np.allclose((read - read.mean(0)) * scale, spread, atol=1e-3)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 2)), "got shape"),
        (np.zeros((2049, 3)), "got shape"),
        (np.zeros((0, 5, 3)), "got shape"),
        (np.full((5, 3), np.nan), "NaN"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=rf"a\.npy: .*{said}"):
        write_page([Section("", "", figures=[(tmp_path / "a.npy", "")])], tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_unknown_figures_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.pdf: a figure must be one of \.png"):
        write_page([Section("", "", figures=[(tmp_path / "a.pdf", "")])], tmp_path)


def test_overview_names_every_part(tmp_path):
    sections = [Section("A", "", headline={"bits": "2.0"}, seconds=12.4), Section("b", "", problem="left out: late")]
    page = write_page(sections, tmp_path).read_text()
    overview = page[page.index("<nav") : page.index("</nav>")]
    assert 'href="#part-0">A' in overview and "bits 2.0" in overview and "12 s" in overview
    assert "left out: late" in overview and 'id="part-1"' in page


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_browser_shows_clouds_that_turn_players_and_pictures(tmp_path):
    write_png(tmp_path / "a.png", torch.zeros(3, 4, 6, dtype=torch.uint8))
    np.save(tmp_path / "clouds.npy", np.random.default_rng(0).normal(size=(2, 500, 3)))
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(2 * 4000))
    figures = [(tmp_path / name, name) for name in ("a.wav", "a.png", "clouds.npy")]
    curves = {"training": [(0, 2.0), (10, 1.0)]}
    page = write_page([Section("All", "", figures=figures, commands=["true"], curves=curves)], tmp_path)
    seen, said = open_in_browser(page)
    assert said == []
    assert seen["pictures"] == [6] and seen["players"] == [pytest.approx(0.5, abs=0.05)]
    assert len(seen["before"]) == 2 and all(share > 0.05 for share, _ in seen["before"])
    assert all(before != after for before, after in zip(seen["before"], seen["after"], strict=True))
    (tmp_path / "broken.html").write_text(
        page.read_text().replace("showCloud(canvas) {", "showCloud(canvas) { lost();")
    )
    _, said = open_in_browser(tmp_path / "broken.html")
    assert len(said) == 1 and "lost is not defined" in said[0]


# Curves


def test_curves_are_read_from_the_log_of_a_run(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as log:
        for step in range(5):
            log.add_scalar("train/loss", float("nan") if step == 2 else 10 - step, step)
            log.add_scalar("other", 1.0, step)
        log.add_scalar("val/loss", 3.0, 4)
    found = losses_of(tmp_path / "checkpoints" / "best.ckpt")
    assert found == {"training": [(0, 10.0), (1, 9.0), (3, 7.0), (4, 6.0)], "validation": [(4, 3.0)]}


def test_curves_are_drawn_to_scale():
    drawn = draw_curves({"a<": [(0, 0.0), (50, 10.0), (100, 5.0)], "b": [(0, 1e6), (100, 0.0)]})
    points = [
        [tuple(map(float, pair.split(","))) for pair in text.split()] for text in re.findall('points="([^"]+)"', drawn)
    ]
    (x0, y0), (x1, y1), (x2, y2) = points[0]
    assert x0 < x1 < x2 and x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y2 == pytest.approx(y2 - y1, abs=0.2)  # upwards is less
    assert 0 < points[1][0][1] < y1  # what falls steeply at first stays at the rim
    assert "a&lt;" in drawn and "NaN" not in drawn
    assert draw_curves({"a": [(1, 2.0)]}) == "" and draw_curves({}) == ""
    assert draw_curves({"a": [(1, 2.0), (2, 2.0)]}).count("<polyline") == 1


def test_ticks_are_round():
    assert ticks(0.07, 1.02) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(0, 800) == pytest.approx([0, 200, 400, 600, 800])

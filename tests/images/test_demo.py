"""The demo page, with training cut down to two steps."""

import re

import pytest

from flowsuite.core.training import demo
from flowsuite.images import demo as images_demo


def test_page_shows_what_was_made(tmp_path, monkeypatch, capsys):
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]
    short += ["--trainer.check_val_every_n_epoch", "1"]
    run = images_demo.run
    monkeypatch.setattr(images_demo, "run", lambda folder, options: run(folder, [*short, *options]))
    assert demo.main(["--out", str(tmp_path / "a demo"), "--only", "images"]) == 0
    page = (tmp_path / "a demo" / "index.html").read_text()
    pictures = re.findall(r'<img src="([^"]+)"', page)
    assert len(pictures) == 5
    for picture in pictures:
        assert (tmp_path / "a demo" / picture).read_bytes().startswith(b"\x89PNG")
    assert re.search(r"Test set: \d+\.\d+ bits/dim at 4 bits", page)
    assert "index.html" in capsys.readouterr().out


def test_unknown_domain_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        demo.main(["--out", str(tmp_path), "--only", "poetry"])
    assert "poetry" in capsys.readouterr().err


def test_text_is_escaped(tmp_path):
    page = demo.write_page([demo.Section("<b>", "a & b", commands=["x > y"])], tmp_path).read_text()
    assert "&lt;b&gt;" in page and "a &amp; b" in page and "x &gt; y" in page

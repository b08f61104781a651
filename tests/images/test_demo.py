"""The demo page, with training cut down to two steps."""

import html
import re

from flowsuite.core.training import demo
from flowsuite.images import demo as images_demo
from tests.pages import embedded


def test_page_shows_what_was_made(tmp_path, monkeypatch, capsys):
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]
    short += ["--trainer.check_val_every_n_epoch", "1", "--trainer.log_every_n_steps", "1"]
    run = images_demo.run
    monkeypatch.setattr(images_demo, "run", lambda folder, options: run(folder, [*short, *options]))
    assert demo.main(["--out", str(tmp_path / "a demo"), "--only", "images"]) == 0
    path = tmp_path / "a demo" / "index.html"
    page = path.read_text()
    assert len(embedded(path)["image/png"]) == 5
    assert page.count("<canvas ") == 0 and page.count("<polyline ") == 1  # validated once
    assert f"--out '{tmp_path}/a demo/images/samples.png'" in html.unescape(page)
    assert re.search(r"Test set: \d+\.\d+ bits/dim at 4 bits", page)
    assert "index.html" in capsys.readouterr().out

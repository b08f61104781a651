"""The part of the demo page on autoencoders, with training cut down to two steps."""

from __future__ import annotations

import re

from flowsuite.core.training import demo
from flowsuite.images.vae import demo as vae_demo
from tests.pages import embedded


def test_page_shows_what_was_made(tmp_path, monkeypatch):
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]
    short += ["--trainer.check_val_every_n_epoch", "1"]
    run = vae_demo.run
    monkeypatch.setattr(vae_demo, "run", lambda folder, options: run(folder, [*short, *options]))
    assert demo.main(["--out", str(tmp_path), "--only", "vae"]) == 0
    page = (tmp_path / "index.html").read_text()
    assert len(embedded(tmp_path / "index.html")["image/png"]) == 3
    assert re.search(r"-ELBO \d+\.\d+ .* by 1000 importance samples \d+\.\d+ \(300 images\)", page)

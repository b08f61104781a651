"""The demo page's part on point clouds, with training cut down to two steps of a tiny model."""

import re

import numpy as np

from flowsuite.core.training import demo
from flowsuite.pointclouds import demo as pointclouds_demo
from flowsuite.pointclouds import tools
from flowsuite.pointclouds.data import Shapes
from tests.pages import embedded
from tests.pointclouds.small import SHAPES


def test_page_shows_what_was_made(tmp_path, monkeypatch):
    flow = {"zdim": "4", "hidden": "[8]", "latent_hidden": "[8]", "encoder_widths": "[8]", "encoder_head": "[8]"}
    short = [f"--model.init_args.flow.init_args.{key}={value}" for key, value in flow.items()]
    short += [f"--data.init_args.{key}={value}" for key, value in {**SHAPES, "test": 8}.items()]
    short += ["--data.init_args.batch_size=4", "--model.init_args.train_points=8", "--trainer.max_steps=2"]
    short += ["--trainer.max_epochs=-1", "--trainer.check_val_every_n_epoch=1"]
    run, module = pointclouds_demo.run, tools.data_module

    def small_data(name, options="{}"):
        return Shapes(**{**SHAPES, "test": 8}) if name == pointclouds_demo.RECIPE else module(name, options)

    for place in (tools, pointclouds_demo):
        monkeypatch.setattr(place, "data_module", small_data)
    monkeypatch.setattr(pointclouds_demo, "run", lambda folder, options: run(folder, [*short, *options]))
    assert demo.main(["--out", str(tmp_path / "a demo"), "--only", "pointclouds"]) == 0
    page = (tmp_path / "a demo" / "index.html").read_text()
    assert len(embedded(tmp_path / "a demo" / "index.html")["image/png"]) == 5
    assert page.count("<canvas ") == 2 * pointclouds_demo.TURNED
    assert np.load(tmp_path / "a demo" / "pointclouds" / "new.npy").shape == (pointclouds_demo.TURNED, 2048, 3)
    assert re.search(r"Chamfer distance \d+\.\d+e-3, where other points .* have \d+\.\d+e-3", page)
    assert re.search(r"coverage \d+%, 1-nearest-neighbour accuracy \d+%", page)

"""The experiment as one command, small."""

from __future__ import annotations

import csv
import json

import pytest

from flowsuite.core.training import cli
from flowsuite.core.variational import experiment
from tests.pages import embedded

SHORT = ["--steps", "20", "--batch_size", "32", "--anneal_steps", "5"]


def run(folder, *options):
    argv = ["variational", "--targets", "U2", "funnel", "--kinds", "gaussian", "planar", "--layers", "2", *SHORT]
    return cli.main([*argv, "--out", str(folder), *options])


def test_table_pictures_and_page(tmp_path, capsys):
    assert run(tmp_path) == 0
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [(row["target"], row["kind"], row["n_layers"]) for row in rows] == [
        ("U2", "gaussian", "2"), ("U2", "planar", "2"), ("funnel", "gaussian", "2"), ("funnel", "planar", "2"),
    ]  # fmt: skip
    assert float(rows[0]["reverse_kl"]) > 0 and rows[2]["reverse_kl"] == ""
    assert abs(float(rows[0]["log_normalizer"]) - experiment.make_target("U2", envelope="box").log_normalizer()) < 1e-3
    from flowsuite.core.training.pictures import open_image

    picture = open_image(tmp_path / "densities-2.png")
    side = experiment.SIZE + experiment.GAP
    assert (picture.width, picture.height) == (3 * side, side)
    assert picture.crop((0, 0, side - 4, side - 4)).getextrema()[0][1] == 255
    page = tmp_path / "index.html"
    assert embedded(page)["image/png"] == [(tmp_path / "densities-2.png").read_bytes()]
    assert "flowsuite variational" in page.read_text()
    shown = capsys.readouterr()
    assert "KL(q||p)" in shown.out and "[4/4]" in shown.err


def test_what_is_there_is_not_fitted_again(tmp_path, monkeypatch):
    assert run(tmp_path) == 0
    table = (tmp_path / "table.csv").read_text()

    def refuse(*arguments, **options):
        raise AssertionError("fitted again")

    monkeypatch.setattr(experiment, "fit_posterior", refuse)
    assert run(tmp_path) == 0
    assert (tmp_path / "table.csv").read_text() == table
    assert run(tmp_path, "--lr", "0.001") == 1  # other settings: a new fit


@pytest.mark.slow
def test_processes_give_the_same_figures(tmp_path):
    argv = ["variational", "--targets", "U1", "--kinds", "planar", "radial", "--layers", "1", *SHORT, "--out"]
    assert cli.main([*argv, str(tmp_path / "one")]) == 0
    assert cli.main([*argv, str(tmp_path / "two"), "--workers", "2"]) == 0
    for name in ("U1-planar-1", "U1-radial-1"):
        one, two = (json.loads((tmp_path / n / "fits" / f"{name}.json").read_text()) for n in ("one", "two"))
        assert one["elbo"] == pytest.approx(two["elbo"], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--layers", "0"], "--layers must be at least 1"), (["--steps", "0"], "--steps must be at least 1")],
)
def test_bad_options(options, message, tmp_path, capsys):
    assert run(tmp_path, *options) == 1
    assert message in capsys.readouterr().err

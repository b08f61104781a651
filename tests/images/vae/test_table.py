"""The comparison of posteriors, with training cut down to a few steps."""

from __future__ import annotations

import csv
import json

import pytest

from flowsuite.core.training.cli import main as flowsuite
from flowsuite.images import FlowVAE
from flowsuite.images.vae import table

SHORT = ["--trainer.max_epochs", "2", "--trainer.limit_train_batches", "2", "--trainer.check_val_every_n_epoch", "1"]
SHORT += ["--trainer.enable_progress_bar", "false", "--samples", "3"]


def run(folder, *options) -> int:
    argv = ["images", "vae", "table", "--config", "images/vae-demo", "--out", str(folder), *SHORT, *options]
    return flowsuite(argv)


def test_rows_are_trained_measured_and_kept(tmp_path, monkeypatch, capsys):
    assert run(tmp_path, "--kinds", "gaussian", "orthogonal") == 0
    printed = capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [row["posterior"] for row in rows] == ["gaussian", "orthogonal"]
    plain, flow = (
        json.loads((tmp_path / f"{name}-0" / "figures.json").read_text()) for name in ("gaussian", "orthogonal")
    )
    difference = sum(a - b for a, b in zip(plain["log_p"], flow["log_p"], strict=True)) / 300
    assert float(rows[1]["nll_difference"]) == pytest.approx(difference)
    assert float(rows[1]["nll"]) - float(rows[0]["nll"]) == pytest.approx(difference)
    assert rows[0]["nll_difference"] == "" and rows[0]["epochs"] == "2" and "| orthogonal | 4 | 0 |" in printed
    assert int(rows[1]["posterior_parameters"]) > int(rows[0]["posterior_parameters"])

    def refuse(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(table, "train", refuse)
    assert run(tmp_path, "--kinds", "gaussian", "orthogonal") == 0
    assert run(tmp_path, "--kinds", "gaussian", "--data.init_args.batch_size", "32") == 1  # other options: trained


def test_posteriors_are_of_equal_size():
    """Of the published 64 latents and 256 features, the flows differ by no more than a fifth."""
    sizes = {}
    for kind in table.SIZES:
        options = table.flow_options(kind, table.REDUCED)
        flow = FlowVAE(
            latent_dims=64, network="dense", features=256, hidden=options.pop("hidden", (300, 300)), **options
        )
        sizes[kind] = sum(p.numel() for p in flow.parameters())
    plain = sizes.pop("gaussian")
    added = [size - plain for size in sizes.values()]
    assert max(added) < 1.2 * min(added), sizes


def test_wide_networks_of_both_kinds():
    assert table.flow_options("gaussian-wide", table.REDUCED)["hidden"] == [400, 400]
    assert table.flow_options("gaussian-wide", "images/vae-mnist-planar")["features"] == 341


def test_errors(tmp_path, capsys):
    assert run(tmp_path, "--config", "images/vae-dmo") == 1
    assert "unknown recipe 'images/vae-dmo'" in capsys.readouterr().err
    assert run(tmp_path, "--kinds", "gaussian", "--trainer.max_eppochs", "1") == 1
    assert "max_eppochs" in capsys.readouterr().err

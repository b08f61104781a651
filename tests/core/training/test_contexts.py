"""`flowsuite sample --context`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowsuite.core.ffjord import FFJORD
from flowsuite.core.maf import MAF
from flowsuite.core.training.checkpoint import build_module, load_module, save_module
from flowsuite.core.training.cli import main
from flowsuite.core.training.contexts import read_context
from flowsuite.core.training.seeding import fold_seed

MAKE = {
    "ffjord": ("continuous.ContinuousFlowModule", FFJORD, {"dim": 2, "hidden": [8, 8], "context_features": 3}),
    "maf": ("module.FlowModule", MAF, {"dims": 2, "n_layers": 2, "hidden_features": 8, "context_features": 3}),
    "free": ("module.FlowModule", MAF, {"dims": 2, "n_layers": 2, "hidden_features": 8}),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    for name, (module, cls, arguments) in MAKE.items():
        flow = {"class_path": f"{cls.__module__}.{cls.__name__}", "init_args": arguments}
        made = build_module(f"flowsuite.core.training.{module}", {"flow": flow})
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        save_module(folder / f"{name}.ckpt", made)
    return folder


def sample(checkpoint, out, *options) -> int:
    return main(["sample", "--ckpt_path", str(checkpoint), "--out", str(out), *map(str, options)])


def written(out) -> np.ndarray:
    return np.concatenate([np.load(path)["samples"] for path in sorted(out.glob("*.npz"))])


@pytest.mark.parametrize("name", ["ffjord", "maf"])
def test_samples_take_the_rows_in_turn(checkpoints, tmp_path, name):
    rows = np.random.default_rng(0).normal(size=(5, 3))
    np.save(tmp_path / "rows.npy", rows)
    options = ["--context", tmp_path / "rows.npy", "--batch_size", 4, "--seed", 7]
    assert sample(checkpoints / f"{name}.ckpt", tmp_path / "out", *options, "--num", 7) == 0
    module, context = load_module(checkpoints / f"{name}.ckpt"), torch.from_numpy(rows).float()
    for index, numbers in enumerate(([0, 1, 2, 3], [4, 0, 1])):
        generator = torch.Generator().manual_seed(fold_seed(7, "sample", index))
        expected = module.generate(len(numbers), context[numbers], 1.0, generator)
        found = np.load(tmp_path / f"out/samples_{4 * index:06d}.npz")["samples"]
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert sample(checkpoints / f"{name}.ckpt", tmp_path / "all", *options) == 0
    assert written(tmp_path / "all").shape == (5, 2)  # without --num, one of each row
    np.save(tmp_path / "rows.npy", rows + 1)
    assert sample(checkpoints / f"{name}.ckpt", tmp_path / "other", *options) == 0
    assert np.abs(written(tmp_path / "other") - written(tmp_path / "all")).max() > 1e-3


def test_a_context_in_an_archive(tmp_path):
    rows = np.arange(6).reshape(2, 3)
    for arrays in ({"c": rows}, {"context": rows, "x": rows[0]}):
        np.savez(tmp_path / "a.npz", **arrays)
        context = read_context(tmp_path / "a.npz")
        assert context.dtype == torch.float64 and context.tolist() == rows.tolist()


WRONG = {
    "no model for it": ("free", np.zeros((2, 3)), "takes no context"),
    "width": ("maf", np.zeros((2, 4)), "rows.npy: expected rows of 3 numbers, got 4"),
    "shape": ("maf", np.zeros(3), "rows.npy: expected a table"),
    "nan": ("ffjord", np.array([[0, 1, 2], [0, np.nan, 2]]), "rows.npy: nan in row 1, column 1"),
    "empty": ("ffjord", np.zeros((0, 3)), "rows.npy: expected a table"),
    "text": ("ffjord", np.array([["a", "b", "c"]]), "rows.npy: expected numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_contexts_are_one_line(checkpoints, tmp_path, capsys, case):
    name, rows, message = WRONG[case]
    np.save(tmp_path / "rows.npy", rows)
    out = tmp_path / "out"
    assert sample(checkpoints / f"{name}.ckpt", out, "--num", 2, "--context", tmp_path / "rows.npy") == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("flowsuite: error:") and message in error[0]
    assert not out.exists()


def test_what_is_missing_is_said(checkpoints, tmp_path, capsys):
    np.savez(tmp_path / "two.npz", a=np.zeros((1, 3)), b=np.zeros((1, 3)))
    (tmp_path / "rows.txt").write_text("0 0 0")
    for options, message in (
        ([], "conditional on 3 numbers a sample: give --context FILE"),
        (["--context", tmp_path / "absent.npy"], "no context at"),
        (["--context", tmp_path / "two.npz"], "expected an array 'context', or one array, got a, b"),
        (["--context", tmp_path / "rows.txt"], "a context is a .npy or .npz file"),
    ):
        assert sample(checkpoints / "ffjord.ckpt", tmp_path / "out", *options) == 1
        assert message in capsys.readouterr().err


def test_a_model_of_classes_says_so(checkpoints, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "rows.npy", np.zeros((2, 3)))
    monkeypatch.setattr(MAF, "n_classes", 10, raising=False)
    assert sample(checkpoints / "free.ckpt", tmp_path / "out", "--context", tmp_path / "rows.npy") == 1
    assert "this model takes a --class" in capsys.readouterr().err

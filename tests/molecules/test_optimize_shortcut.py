"""`flowsuite optimize`, with and without its domain's name."""

from __future__ import annotations

import csv
import json

import pytest

from flowsuite.core.training.checkpoint import load_module
from flowsuite.core.training.cli import main as flowsuite
from flowsuite.molecules.smiles import canonical
from tests.molecules.small import save

TINY = ["--steps", "2", "--num", "12", "--batch_size", "8", "--replay", "4", "--top", "3", "--quiet"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(save(tmp_path_factory.mktemp("model") / "model.ckpt"))


def optimize(model, out, *options) -> int:
    return flowsuite(["optimize", "--ckpt_path", model, "--out", str(out), "--workers", "0", *map(str, options)])


def table(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_everything_that_is_written(model, tmp_path, capfd):
    (tmp_path / "mine.py").write_text("def carbons(smiles):\n    return smiles.lower().count('c')\n")
    target = ["--target", f"{tmp_path / 'mine.py'}:carbons", "--target_takes", "smiles"]
    out = tmp_path / "out"
    assert optimize(model, out, *target, *TINY) == 0
    names = {path.name for path in out.iterdir()}
    assert {"model.ckpt", "top.csv", "top.png", "top.svg", "history.csv", "summary.json"} <= names
    top = table(out / "top.csv")
    assert len(top) == 3 and len({row["smiles"] for row in top}) == 3
    scores = [float(row["score"]) for row in top]
    assert scores == sorted(scores, reverse=True)
    assert all(row["smiles"].lower().count("c") == float(row["score"]) for row in top)
    assert all(canonical(row["smiles"]) == row["smiles"] for row in top)
    assert len(table(out / "history.csv")) == 2
    assert json.loads((out / "summary.json").read_text())["target"].endswith("mine.py:carbons")
    assert f"written to {out}" in capfd.readouterr().out
    before, after = load_module(model).state_dict(), load_module(out / "model.ckpt").state_dict()
    assert before.keys() == after.keys() and any(not value.equal(after[name]) for name, value in before.items())
    assert flowsuite(["sample", "--ckpt_path", str(out / "model.ckpt"), "--num", "4", "--out", str(out / "s")]) == 0


def test_the_long_name_does_the_same(model, tmp_path):
    assert optimize(model, tmp_path / "a", "--target", "qed", *TINY) == 0
    long = ["molecules", "optimize", "--ckpt_path", model, "--out", str(tmp_path / "b"), "--workers", "0"]
    assert flowsuite([*long, "--target", "qed", *TINY]) == 0
    assert (tmp_path / "a" / "top.csv").read_text() == (tmp_path / "b" / "top.csv").read_text()


def test_molecules_are_improved(model, tmp_path):
    (tmp_path / "start.smi").write_text("CCCOC\nCCNC=O\n")
    options = ["--target", "qed", "--constrained", tmp_path / "start.smi", "--restarts", "2", "--deltas", "0", "0.2"]
    assert optimize(model, tmp_path / "out", *options, "--steps", "0", "--quiet") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"improved.csv", "table.json"}
    assert len({row["start"] for row in table(tmp_path / "out" / "improved.csv")}) <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "qde"], "unknown property 'qde'"),
        (["--target", "absent.py:f"], "target file absent.py not found"),
        (["--target", "qed", "--steps", "-1"], "--steps must be at least 0, got -1"),
        (["--target", "qed", "--top", "0"], "--top must be at least 1, got 0"),
        (["--target", "qed", "--max_atoms", "1"], "--max_atoms must be at least 2"),
        (["--target", "qed", "--property", "logp=2"], "are none, got logp"),
        (["--target", "qed", "--constrained", "absent.smi"], "absent.smi"),
    ],
)
def test_wrong_options_get_one_short_line(options, message, model, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert optimize(model, "out", *options) == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert message in error[-1] and len(error[-1]) < 250 and len(error) == 1
    assert not (tmp_path / "out" / "model.ckpt").exists()


def test_help(capsys):
    for words in (["optimize"], ["molecules", "optimize"]):
        with pytest.raises(SystemExit, match="0"):
            flowsuite([*words, "--help"])
        printed = capsys.readouterr().out
        assert "examples:" in printed and "--target" in printed
    assert flowsuite(["--help"]) == 0
    assert "flowsuite optimize" in capsys.readouterr().out
    assert flowsuite(["optimise"]) == 2
    assert "did you mean 'optimize'" in capsys.readouterr().err

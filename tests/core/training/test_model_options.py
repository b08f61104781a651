"""Options that all commands with a model have."""

import argparse

import pytest

from flowsuite.core.training.model_options import Temperatures, add_model_options, open_model


def parser():
    made = argparse.ArgumentParser()
    add_model_options(made, "a toy")
    made.add_argument("--temperatures", action=Temperatures, default=[1.0])
    return made


@pytest.mark.parametrize("words", [["0.5", "1", "0"], ["0.5,1,0"], ["0.5,", "1,0"]])
def test_temperatures_with_blanks_or_commas(words):
    argv = ["--temperatures", *words, "--ckpt_path", "a.ckpt"]
    assert parser().parse_args(argv).temperatures == [0.5, 1.0, 0.0]
    assert parser().parse_args(["--ckpt_path", "a.ckpt"]).temperatures == [1.0]


@pytest.mark.parametrize("word", ["", "a", "0.5,-1", "nan", "inf", "1,,2"])
def test_wrong_temperatures(word, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--ckpt_path", "a.ckpt", "--temperatures", word])
    assert "expected numbers >= 0 such as 0.6 0.8 1.0" in capsys.readouterr().err


@pytest.mark.parametrize(("raw", "averaged"), [([], True), (["--raw_weights"], False)])
def test_what_is_loaded(raw, averaged, monkeypatch):
    calls = []
    monkeypatch.setattr("flowsuite.core.training.checkpoint.load_module", lambda *words: calls.append(words) or "toy")
    argv = ["--ckpt_path", "a.ckpt", "--device", "cpu", "--allow", "mine", "--allow", "yours", *raw]
    args = parser().parse_args(argv)
    assert open_model(args, str, "a toy") == "toy" and calls == [("a.ckpt", "cpu", averaged, ["mine", "yours"])]
    with pytest.raises(ValueError, match=r"a\.ckpt holds a str, expected a number"):
        open_model(args, int, "a number")

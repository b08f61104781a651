"""`flowsuite audio sweep`: the temperature that is best by a metric."""

import json
import math

import pytest
import torch

from flowsuite.audio.metrics.table import Average, copy_synthesis_metrics
from flowsuite.audio.sources import source_of_wave
from flowsuite.audio.sweep import best_temperature, sweep
from flowsuite.audio.synthesis import Synthesizer
from flowsuite.audio.wave_files import write_wave
from flowsuite.core.training.cli import main as flowsuite
from tests.audio.test_sources import voice
from tests.audio.vocoders_made import small_checkpoint, small_module


def test_the_figures_are_those_of_the_synthesis_at_that_temperature():
    module = small_module()
    source = source_of_wave("a", voice(4000), module.mel)
    synthesizer = Synthesizer(module, temperature=0.9)
    table = sweep(synthesizer, [source], [0.0, 0.5])
    assert synthesizer.temperature == 0.9 and list(table) == [0.0, 0.5]
    wave = Synthesizer(module, temperature=0.5)([source])[0]
    wanted = copy_synthesis_metrics(source.recording, wave, module.spec, pitch=False, height=4)
    assert table[0.5]["mstft"].mean == pytest.approx(wanted["mstft"]) != table[0.0]["mstft"].mean
    assert table[0.5].keys() == wanted.keys()


def test_the_best_is_the_least_or_the_largest():
    table = {
        t: {"mstft": Average(m, 1), "pesq_wb": Average(m, 1)} for t, m in ((0.6, 2.0), (0.8, 1.0), (1.0, math.nan))
    }
    assert best_temperature(table, "mstft") == 0.8 and best_temperature(table, "pesq_wb") == 0.6
    assert best_temperature(table, "gpe") is None
    table[0.6]["pesq_wb"] = Average(2.0, 1)
    table[0.8]["pesq_wb"] = table[1.0]["pesq_wb"] = Average(1.0, 2)
    assert best_temperature(table, "pesq_wb") == 0.8  # a mean over fewer clips is no match


@pytest.fixture
def argv(tmp_path):
    return ["audio", "sweep", "--ckpt_path", str(small_checkpoint(tmp_path / "m.ckpt")), "--device", "cpu", "--quiet"]


def test_command_on_a_folder(argv, tmp_path, capsys):
    for i in range(3):
        write_wave(tmp_path / "in" / f"{i}.wav", voice(3000, i), 8000)
    options = ["--data", str(tmp_path / "in"), "--clips", "2", "--json", str(tmp_path / "t.json")]
    assert flowsuite([*argv, *options, "--temperatures", "1.0,0.1"]) == 0
    said = capsys.readouterr().out
    report = json.loads((tmp_path / "t.json").read_text())
    assert report["clips"] == ["0", "1"] and [row["temperature"] for row in report["rows"]] == [0.1, 1.0]
    best = min(report["rows"], key=lambda row: row["mstft"])["temperature"]
    assert report["best"] == best and f"T = {best:g} (best)" in said and said.count("(best)") == 1
    assert f"best by M-STFT over 2 clips: --temperature {best:g}" in said


def test_the_table_stays_where_a_metric_is_not_defined(argv, tmp_path, capsys):
    """Nothing is voiced in silence: no F0 to compare."""
    write_wave(tmp_path / "in.wav", torch.zeros(3000), 8000)
    options = ["--data", str(tmp_path / "in.wav"), "--metric", "gpe", "--temperatures", "0.5,1.0"]
    assert flowsuite([*argv, *options, "--json", str(tmp_path / "t.json")]) == 1
    said = capsys.readouterr().out
    assert "| T = 0.5" in said and "| T = 1 " in said and "(best)" not in said
    assert "no best temperature: GPE is not defined for any of 1 clip;" in said
    report = json.loads((tmp_path / "t.json").read_text())
    assert report["best"] is None and [row["gpe"] for row in report["rows"]] == [None, None]
    assert all(row["logmel_l1"] > 0 for row in report["rows"])


def test_a_synthesis_that_is_not_finite_has_no_metrics(monkeypatch):
    module = small_module()
    sources = [source_of_wave(name, voice(2000), module.mel) for name in "ab"]
    synthesizer = Synthesizer(module)
    batch = synthesizer.batch
    broken = [torch.full((2000,), math.inf)]
    bad = {("a", 1.0), ("a", 2.0), ("b", 2.0)}
    monkeypatch.setattr(
        synthesizer, "batch", lambda s: broken if s and (s[0].name, synthesizer.temperature) in bad else batch(s)
    )
    table = sweep(synthesizer, sources, [0.5, 1.0, 2.0])
    assert [table[t]["mstft"].count for t in (0.5, 1.0)] == [2, 1] and table[2.0] == {}
    assert best_temperature(table, "mstft") == 0.5


def test_command_on_a_data_module(argv, capsys):
    options = ["--data", "SpeechLike", "--data_args", '{"spec": "A0-8k", "val": 2, "train": 1, "test": 1}']
    assert flowsuite([*argv, *options, "--clips", "1", "--temperatures", "0.5"]) == 0
    said = capsys.readouterr().out
    assert "T = 0.5 (best)" in said and "over 1 clip: " in said
    assert flowsuite([*argv, "--data", "SpeechLike"]) == 1
    assert "SpeechLike is at 22050 Hz, the model at 8000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "nothing"], "as data also expected: an audio file, a folder or one of"),
        (["--data", "gone.wav"], "gone.wav not found"),
        (["--data", "SpeechLike", "--metric", "pesq_wb"], "needs the package pesq"),
        (["--data", "SpeechLike", "--num", "0"], "--num must be at least 1"),
    ],
)
def test_wrong_commands(argv, options, said, capsys, monkeypatch):
    monkeypatch.setattr("flowsuite.audio.metrics.perceptual.pesq_available", lambda: False)
    assert flowsuite([*argv, *options]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize("text", ["", "a,b", "0.5,-1", "nan", "inf"])
def test_bad_temperatures(argv, text, capsys):
    with pytest.raises(SystemExit):
        flowsuite([*argv, "--data", "SpeechLike", "--temperatures", text])
    assert "expected numbers >= 0" in capsys.readouterr().err

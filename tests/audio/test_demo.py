"""The audio section of the demo page, with training cut down to two steps of a tiny net."""

import json

import pytest

from flowsuite.audio import demo as audio_demo
from flowsuite.audio.comparison import BASELINE, MODEL
from flowsuite.audio.wave_files import read_wave
from flowsuite.core.training import demo
from tests.pages import embedded

pytestmark = pytest.mark.filterwarnings("ignore:the dilations")


def test_page_plays_what_was_made(tmp_path, monkeypatch):
    short = ["--trainer.max_steps", "2", "--trainer.limit_val_batches", "1"]
    short += ["--model.init_args.flow.init_args.channels", "4", "--data.init_args.batch_size", "1"]
    run = audio_demo.run
    monkeypatch.setattr(audio_demo, "run", lambda folder, options: run(folder, [*short, *options]))
    assert demo.main(["--out", str(tmp_path / "a demo"), "--only", "audio"]) == 0
    page = (tmp_path / "a demo" / "index.html").read_text()
    shown = embedded(tmp_path / "a demo" / "index.html")
    sounds = shown["audio/wav"]
    assert len(sounds) == 2 * audio_demo.PLAYED and len(shown["image/png"]) == audio_demo.PLAYED
    assert page.count('class="players"') == audio_demo.PLAYED
    for pair in zip(sounds[::2], sounds[1::2], strict=True):
        waves = []
        for k, sound in enumerate(pair):
            (tmp_path / f"{k}.wav").write_bytes(sound)
            waves.append(read_wave(tmp_path / f"{k}.wav"))
        assert len(waves[0]) == len(waves[1]) and waves[1].any()
    assert MODEL in page and BASELINE in page
    report = json.loads((tmp_path / "a demo" / "audio" / "metrics.json").read_text())
    assert report["clips"] == audio_demo.CLIPS and report["systems"][MODEL]["mstft"] > 0


def test_text_says_what_was_measured():
    said = audio_demo.describe({"f0_rmse_cents": 41.6, "vuv_error": 0.125})
    assert "42 cents" in said and "12%" in said
    assert "No clip was voiced enough" in audio_demo.describe({"f0_rmse_cents": None, "vuv_error": 1.0})

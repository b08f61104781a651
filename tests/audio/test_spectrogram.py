from __future__ import annotations

import math

import pytest
import torch
from PIL import Image

from flowsuite.audio.spectrogram import LOWEST, MARGIN, TITLE, save_spectrogram, spectrogram_picture
from tests.audio.speech import voice

RATE = 22050


def tone(hertz, samples=RATE, amplitude=0.5):
    return amplitude * torch.sin(2 * torch.pi * hertz * torch.arange(samples) / RATE)


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 6000.0])
def test_a_tone_is_a_bright_line_at_its_frequency(hertz):
    picture = spectrogram_picture({"tone": tone(hertz)}, RATE, height=100, width=200)
    assert picture.shape == (3, 100 + TITLE, 200 + MARGIN) and picture.min() >= 0 and picture.max() <= 1
    brightness = picture.mean(0)[TITLE:, MARGIN:]
    row = int(brightness[:, 50:150].mean(1).argmax())
    assert abs(row - 99 * (1 - math.log(hertz / LOWEST) / math.log(RATE / 2 / LOWEST))) <= 2
    assert brightness[0].max() < 0.6


def test_panels_share_time_and_loudness():
    loud, quiet = tone(1000.0), tone(1000.0, RATE // 2, 0.005)
    picture = spectrogram_picture({"recording": loud, "half as long, 40 dB down": quiet}, RATE, 60, 120)
    assert picture.shape == (3, 2 * (60 + TITLE), 120 + MARGIN)
    top, bottom = (picture.mean(0)[start + TITLE : start + TITLE + 60, MARGIN:] for start in (0, 60 + TITLE))
    assert 0.3 < bottom[:, 30].max() < top[:, 30].max()
    assert bottom[:, 80:].max() < 0.01 < top[:, 80:].max()


def test_odd_waves_are_drawn():
    waves = {"silence": torch.zeros(500), "one sample": torch.ones(1), "not finite": torch.full((700,), torch.nan)}
    assert spectrogram_picture(waves, 8000, 20, 30).isfinite().all()
    silent = spectrogram_picture({"": torch.zeros(500)}, 8000, 20, 30)
    assert silent[:, TITLE:, MARGIN:].max() == 0
    with pytest.raises(ValueError, match="at least one wave"):
        spectrogram_picture({}, 8000)
    with pytest.raises(ValueError, match="x: expected a wave"):
        spectrogram_picture({"x": torch.zeros(2, 3)}, 8000)


def test_png(tmp_path):
    path = save_spectrogram(tmp_path / "deep" / "a.png", {"Aufnahme – é": voice(8000)}, RATE, height=50, width=90)
    with Image.open(path) as image:
        assert image.size == (90 + MARGIN, 50 + TITLE)
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]

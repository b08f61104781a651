from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from flowsuite.audio.features.spec import A0, B0, PRESETS
from flowsuite.audio.metrics import perceptual
from flowsuite.audio.metrics.cepstrum import cepstrum, mel_cepstral_distortion
from flowsuite.audio.metrics.line_tone import line_tone_db, line_tones
from flowsuite.audio.metrics.logmel import log_mel, log_mel_l1, metric_spec
from flowsuite.audio.metrics.mstft import mstft
from flowsuite.audio.metrics.pairs import comparable
from flowsuite.audio.metrics.pitch import PitchTrack, frame_of, pitch_errors
from flowsuite.audio.metrics.snr import snr_db
from flowsuite.audio.metrics.table import Average, average, copy_synthesis_metrics, format_table
from tests.audio.speech import voice


def noisy(wave, amount=0.01, seed=0):
    return wave + amount * torch.randn(wave.shape, generator=torch.Generator().manual_seed(seed), dtype=wave.dtype)


def test_waves_are_cut_and_clipped():
    y, x = comparable(torch.ones(5), torch.tensor([3.0, -3.0, 0.5]))
    assert x.tolist() == [1, -1, 0.5] and y.tolist() == [1, 1, 1] and y.dtype == torch.float64
    for recording, synthesis, expected in (
        (torch.zeros(0), torch.zeros(3), "the recording must be a wave"),
        (torch.zeros(3), torch.tensor([0.0, torch.nan, torch.inf]), "the synthesis has 2 samples that are not finite"),
        (torch.zeros(2, 3), torch.zeros(3), "as many recordings"),
    ):
        with pytest.raises(ValueError, match=expected):
            comparable(recording, synthesis)


def test_mstft_is_per_example_and_scales():
    y = torch.stack((voice(6000), voice(6000, f0=120.0))).double()
    x = noisy(y)
    both = mstft(y, x)
    assert both.shape == (2,) and mstft(y[0], x[0]).item() == pytest.approx(both[0].item(), rel=1e-12)
    assert (mstft(y, y) == 0).all()
    loud = voice(6000).double() + 0.1  # nothing near the floor of 1e-4
    loud = noisy(loud, 0.1)
    # half as loud: convergence 1/2, log difference ln 2
    assert mstft(loud, loud / 2).item() == pytest.approx(0.5 + math.log(2), abs=2e-3)
    assert mstft(torch.ones(3), torch.zeros(3)).isfinite()


def test_cepstrum_is_scipys_dct():
    from scipy.fft import dct

    mel = torch.randn(80, 7, dtype=torch.float64)
    expected = dct(mel.numpy(), axis=0, norm="ortho")[1:14] / math.sqrt(160)
    np.testing.assert_allclose(cepstrum(mel).numpy(), expected, atol=1e-12)
    shifted = mel + 3.0  # loudness is left out
    assert mel_cepstral_distortion(mel, shifted) == pytest.approx(0, abs=1e-10)
    k = 5
    tilted = mel + torch.cos(math.pi * k * (torch.arange(80) + 0.5) / 80)[:, None]  # c_5 grows by 1/2
    assert mel_cepstral_distortion(mel, tilted) == pytest.approx(10 * math.sqrt(2) / math.log(10) / 2)
    assert log_mel_l1(mel, shifted) == pytest.approx(3)


def test_mels_are_measured_alike_for_every_model():
    assert metric_spec(22050) == A0 and metric_spec(8000) == PRESETS["A0-8k"] and metric_spec(12000).fmax == 6000
    y, x = voice(8000), noisy(voice(8000))
    ours = [copy_synthesis_metrics(y, x, spec, pitch=False, pesq=False) for spec in (A0, B0, PRESETS["B0-db"])]
    assert ours[0] == ours[1] == ours[2]
    assert ours[0]["logmel_l1"] == pytest.approx((log_mel(y, 22050) - log_mel(x, 22050)).abs().mean().item(), rel=1e-6)


def track(f0, probability=None):
    f0 = np.array(f0, dtype=float)
    voiced = ~np.isnan(f0)
    return PitchTrack(f0, voiced, np.array(probability if probability is not None else voiced, dtype=float))


def test_pitch_errors_by_hand():
    nan = math.nan
    y = track([100, 100, 200, nan, nan, 100], [1, 1, 1, 0, 0, 0.5])
    x = track([110, 100, 260, nan, 150, nan], [1, 1, 0, 0, 1, 0.5])
    ours = pitch_errors(y, x)
    cents = [1200 * math.log2(1.1), 0, 1200 * math.log2(1.3)]
    expected = {
        "f0_rmse_hz": math.sqrt((100 + 3600) / 3),
        "f0_rmse_cents": math.sqrt(sum(c * c for c in cents) / 3),
        "vuv_error": 2 / 6,
        "vuv_f1": 6 / 8,
        "gpe": 1 / 3,
        "periodicity_rmse": math.sqrt(2 / 6),
    }
    assert ours == pytest.approx(expected)
    silent = pitch_errors(track([nan, nan]), track([nan, nan]))
    assert silent["vuv_error"] == 0 and math.isnan(silent["f0_rmse_hz"]) and math.isnan(silent["vuv_f1"])


def test_frames_of_pitch_last_alike():
    assert [frame_of(rate) for rate in (8000, 16000, 22050, 24000, 44100)] == [512, 1024, 1024, 1024, 2048]


def test_pitch_is_in_the_table():
    pytest.importorskip("librosa")
    y = voice(8000)
    ours = copy_synthesis_metrics(y, voice(8000, f0=190.0), A0, pesq=False)
    assert ours["f0_rmse_hz"] == pytest.approx(10, abs=2)
    assert ours["f0_rmse_cents"] == pytest.approx(1200 * math.log2(190 / 180), rel=0.2)
    assert ours["gpe"] == 0 and ours["vuv_f1"] > 0.9


def test_snr():
    y = torch.ones(1000, dtype=torch.float64)
    assert snr_db(y, y * 1.1) == pytest.approx(20)


@pytest.mark.parametrize("height", [3, 8, 16, 64])
def test_line_tones_are_found_where_they_are(height):
    n = 40000
    noise = noisy(torch.zeros(n, dtype=torch.float64), 1e-3)
    tones = line_tones(noise, height)
    assert tones.shape == (-(-height // 2) - 1,) and tones.abs().max() < 4
    k = max(1, height // 4)
    tone = 1e-3 * torch.cos(2 * torch.pi * k / height * torch.arange(n))
    found = line_tones(noise + tone, height)
    assert int(found.argmax()) == k - 1 and found[k - 1] > 15
    elsewhere = torch.cat((found[: k - 1], found[k:]))
    assert not len(elsewhere) or elsewhere.max() < 4
    assert line_tone_db(noise + tone, height) == pytest.approx(float(found.max()))


def test_line_tones_of_speech_silence_and_short_clips():
    assert line_tone_db(voice(), 16) < 6
    assert line_tone_db(torch.zeros(5000), 16) == 0
    assert math.isfinite(line_tone_db(torch.ones(1), 8))
    with pytest.raises(ValueError, match="height must be >= 3"):
        line_tones(torch.zeros(10), 2)
    with pytest.raises(ValueError, match="expected a wave"):
        line_tones(torch.zeros(0), 8)


def test_pesq_is_optional(monkeypatch):
    y = voice(8000)
    monkeypatch.setattr(perceptual, "pesq_available", lambda: False)
    monkeypatch.setattr("flowsuite.audio.metrics.table.pesq_available", lambda: False)
    assert "pesq_wb" not in copy_synthesis_metrics(y, y, A0, pitch=False)
    with pytest.raises(ImportError, match="pip install pesq"):
        copy_synthesis_metrics(y, y, A0, pitch=False, pesq=True)
    resampled = perceptual.resample_to(y, 22050, 16000)
    assert len(resampled) == -(-8000 * 320 // 441)
    monkeypatch.setattr(perceptual, "pesq_available", lambda: True)
    with pytest.raises(ValueError, match="at least 16000 Hz"):
        perceptual.pesq_wb(y, y, 8000)


@pytest.mark.parametrize("samples", [1, 100, 600])
def test_short_clips_have_every_metric_but_pitch(samples):
    y = voice(samples)
    ours = copy_synthesis_metrics(y, noisy(y), A0, pitch=False, pesq=False, height=16)
    assert set(ours) == {"mstft", "mcd_db", "logmel_l1", "line_tone_db"} and all(map(math.isfinite, ours.values()))


def test_averages_leave_out_what_is_no_number():
    rows = [{"mstft": 1.0, "f0_rmse_hz": math.nan}, {"mstft": 3.0, "f0_rmse_hz": 4.0}, {"mstft": 5.0, "gpe": math.nan}]
    ours = average(rows)
    assert ours["mstft"] == Average(3.0, 3) and ours["f0_rmse_hz"] == Average(4.0, 1)
    assert ours["gpe"].count == 0 and math.isnan(ours["gpe"].mean)
    table = format_table({"one": ours, "another": {"mstft": Average(1 / 3, 3)}}).splitlines()
    assert len({len(line) for line in table}) == 1 and len(table) == 4
    assert table[0].split("|")[1:4] == [" system  ", " M-STFT ↓ ", " F0 RMSE Hz ↓     "]
    assert table[2] == "| one     | 3.000    | 4.00 (of 1 clip) | -     |"
    assert table[3] == "| another | 0.333    | -                | -     |"
    assert average([]) == {} and format_table({})


def test_silence_has_no_relative_distance():
    figures = copy_synthesis_metrics(torch.zeros(4000), 0.1 * torch.randn(4000), A0, pitch=False)
    assert math.isnan(figures["mstft"]) and math.isfinite(figures["logmel_l1"])
    assert average([figures, {"mstft": 2.0}])["mstft"] == Average(2.0, 1)

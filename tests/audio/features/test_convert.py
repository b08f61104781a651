from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from flowsuite.audio.features.compress import expand
from flowsuite.audio.features.convert import convert, samples_of
from flowsuite.audio.features.inverse import linear_magnitude
from flowsuite.audio.features.mel import MelSpectrogram, filter_bank
from flowsuite.audio.features.spec import A0, B0, PRESETS
from tests.audio.speech import lj_clips, voice

OTHERS = {  # spec, log-mel L1 on LJ Speech from A0 and to A0 (measured, docstring of convert), each plus a fifth
    "half a hop": (B0, 0.106, 0.106),
    "htk": (replace(A0, scale="htk"), 0.122, 0.103),
    "htk power": (replace(A0, scale="htk", norm=None, power=2.0), 0.275, 0.235),
    "fmax": (replace(A0, fmax=None), 0.52, 0.135),
    "fmin": (replace(A0, fmin=80.0, fmax=7600.0), 0.096, 0.216),
    "100 bands": (replace(A0, n_mels=100), 0.158, 0.048),
    "64 bands": (replace(A0, n_mels=64), 0.054, 0.183),
    "hop 200": (replace(A0, hop_length=200, win_length=800), 0.192, 0.132),
    "n_fft 2048": (replace(A0, n_fft=2048, win_length=2048), 0.394, 0.392),
}


@pytest.mark.parametrize("name", ["log10", "db", "B0-db"])
def test_logarithm_alone_is_exact(name):
    other = {"log10": replace(A0, log="log10"), "db": replace(A0, log="db"), "B0-db": PRESETS["B0-db"]}[name]
    base = replace(other, log="natural", unit_range=False)
    wave = voice()[None]
    mel, expected = MelSpectrogram(base)(wave), MelSpectrogram(other)(wave)
    torch.testing.assert_close(convert(mel, base, other), expected, rtol=0, atol=1e-4)
    kept = (expected > 0) & (expected < 1) if other.unit_range else expected == expected
    torch.testing.assert_close(convert(expected, other, base)[kept], mel[kept], rtol=0, atol=1e-3)
    assert convert(mel, base, base) is mel


def test_loudness_needs_the_peak():
    wave = voice()[None]
    plain = replace(B0, peak=None)
    peak = float(wave.abs().max())
    mel, expected = MelSpectrogram(plain)(wave), MelSpectrogram(B0)(wave)
    torch.testing.assert_close(convert(mel, plain, B0, clip_peak=peak), expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(convert(expected, B0, plain, clip_peak=peak), mel, rtol=0, atol=0.06)  # at the clamp
    torch.testing.assert_close(convert(mel, plain, B0), mel)
    half = convert(expected, B0, replace(B0, peak=0.4995))
    assert (expected - half).median() == pytest.approx(0.6931, abs=1e-3)


@pytest.mark.parametrize("name", OTHERS)
def test_errors_on_real_speech(name):
    other, there, back = OTHERS[name]
    errors = []
    for wave in lj_clips(1, 2):
        samples, peak = len(wave), float(wave.abs().max())
        mels = {spec: MelSpectrogram(spec)(wave[None]) for spec in (A0, other)}
        for a, b in ((A0, other), (other, A0)):
            converted = convert(mels[a], a, b, samples, peak)
            assert converted.shape == mels[b].shape and converted.dtype == torch.float32
            errors.append((converted - mels[b]).abs().mean().item())
    assert errors[0] < there and errors[1] < back


def test_frames_without_knowing_the_length():
    for spec, other in ((A0, B0), (B0, A0), (A0, replace(A0, hop_length=200)), (A0, PRESETS["A0-8k"])):
        mel = torch.randn(2, 80, 7)
        samples = samples_of(7, spec)
        assert spec.frames(samples) == 7
        expected = other.frames(round(samples * other.sample_rate / spec.sample_rate))
        assert convert(mel, spec, other).shape == (2, 80, expected)
        assert convert(mel[0], spec, other).shape == (80, expected)
    with pytest.raises(ValueError, match="expected mels"):
        convert(torch.zeros(81, 3), A0, B0)


def test_inverse_is_non_negative_and_close():
    bands = expand(MelSpectrogram(A0)(voice()[None].double()), A0)
    bank = filter_bank(A0, torch.float64)
    errors = []
    for refinements in (0, 5, 50):
        magnitude = linear_magnitude(bands, A0, refinements)
        assert (magnitude >= 0).all() and magnitude.isfinite().all()
        errors.append(float((bank.T @ magnitude - bands).norm() / bands.norm()))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.01
    assert (linear_magnitude(bands, A0)[:, bank.sum(1) == 0] == 0).all()
    assert (linear_magnitude(torch.zeros(1, 80, 3), A0) == 0).all()

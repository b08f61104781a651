from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from flowsuite.audio.features.compress import silence
from flowsuite.audio.features.mel import MelSpectrogram, filter_bank, normalise_peak
from flowsuite.audio.features.reflect import reflected
from flowsuite.audio.features.spec import A0, B0, PRESETS
from tests.audio.speech import voice

LENGTHS = [1, 2, 255, 256, 512, 5000]
SPECS = {
    **PRESETS,
    "htk": replace(A0, scale="htk", norm=None, power=2.0, fmax=None),
    "window": replace(A0, win_length=800),
}


@pytest.mark.parametrize("name", SPECS)
def test_librosa_agrees(name):
    librosa = pytest.importorskip("librosa")
    spec = SPECS[name]
    wave = voice(9000, spec.sample_rate)
    padded = reflected(normalise_peak(wave, spec.peak), *spec.span(0, spec.frames(9000), 9000)).double().numpy()
    theirs = librosa.feature.melspectrogram(
        y=padded,
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        win_length=spec.win_length,
        center=False,
        power=spec.power,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
        htk=spec.scale == "htk",
        norm=spec.norm,
    )
    logs = np.log(np.maximum(theirs, spec.clamp))
    if spec.unit_range:
        logs = np.clip((20 / np.log(10) * logs - 10 + 100) / 100, 0, 1)
    ours = MelSpectrogram(spec)(wave[None])[0].numpy()
    assert ours.shape == logs.shape == (spec.n_mels, spec.frames(9000))
    np.testing.assert_allclose(ours, logs, atol=1e-3)
    assert np.abs(ours - logs).mean() < 1e-4


@pytest.mark.parametrize("name", ["A0", "B0", "B0-db", "A0-8k"])
@pytest.mark.parametrize("samples", LENGTHS)
def test_segments_give_the_frames_of_the_clip(name, samples):
    spec = PRESETS[name]
    clip = torch.randn(2, samples) * 0.1
    mel = MelSpectrogram(spec)
    whole = mel(clip)
    frames = spec.frames(samples)
    assert whole.shape == (2, spec.n_mels, frames) and whole.isfinite().all()
    first, last = frames // 3, max(frames // 3 + 1, frames - 1)
    scaled = normalise_peak(clip, spec.peak)
    part = mel.from_segment(reflected(scaled, *spec.span(first, last - first, samples)))
    torch.testing.assert_close(part, whole[:, :, first:last], rtol=0, atol=1e-5)


@pytest.mark.parametrize("spec", [A0, B0], ids=["A0", "B0"])
@pytest.mark.parametrize("samples", LENGTHS)
def test_silence_dc_and_squares_have_finite_mels_and_gradients(spec, samples):
    t = torch.arange(samples)
    for wave in (torch.zeros(samples), torch.full((samples,), 0.5), (t // 50 % 2 * 2 - 1).float()):
        wave = wave[None].clone().requires_grad_()
        mel = MelSpectrogram(spec)(wave)
        mel.sum().backward()
        assert mel.isfinite().all() and wave.grad.isfinite().all()
        assert mel.min() >= silence(spec) - 1e-5
    assert (MelSpectrogram(spec)(torch.zeros(1, samples)) == np.float32(silence(spec))).all()


def test_precision_does_not_depend_on_the_surroundings():
    wave = voice(8000)[None]
    expected = MelSpectrogram()(wave.double())
    assert expected.dtype == torch.float64
    mel = MelSpectrogram()
    with torch.autocast("cpu", torch.bfloat16):
        inside = mel(wave)
    cast = mel.to(torch.bfloat16)(wave)
    for ours in (inside, cast):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), expected, rtol=0, atol=1e-3)
    assert MelSpectrogram()(wave.bfloat16()).dtype == torch.float32
    assert not mel.state_dict()


def test_peak_is_per_clip_and_gradients_are_right():
    clips = torch.stack((voice(3000), 0.1 * voice(3000)))
    torch.testing.assert_close(*MelSpectrogram(B0)(clips), rtol=0, atol=1e-3)
    assert normalise_peak(clips, 0.5).abs().amax(1).tolist() == pytest.approx([0.5, 0.5])
    assert (normalise_peak(torch.zeros(1, 4), 0.9) == 0).all()
    small = replace(A0, n_fft=16, hop_length=4, win_length=16, n_mels=4, sample_rate=1000, fmax=500.0)
    wave = torch.randn(1, 20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(MelSpectrogram(small), wave)


def test_wrong_waves_are_refused():
    for wave in (torch.zeros(100), torch.zeros(1, 0), torch.zeros(1, 100, dtype=torch.int16)):
        with pytest.raises(ValueError, match="expected floating-point waves"):
            MelSpectrogram()(wave)
    with pytest.raises(ValueError, match="at least 1024 samples"):
        MelSpectrogram().from_segment(torch.zeros(1, 1000))


def test_every_band_of_equal_area():
    area = filter_bank(A0, torch.float64).sum(0)
    assert area.tolist() == pytest.approx([1024 / 22050] * 80, rel=0.06)

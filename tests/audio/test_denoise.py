"""The denoiser: what it subtracts, and that neither batches nor pieces change what it does."""

import numpy as np
import pytest
import torch
from scipy.signal import get_window

from flowsuite.audio.denoise import Denoiser
from flowsuite.audio.features import MelSpec
from tests.audio.vocoders_made import small_waveflow, small_waveglow

SPEC = MelSpec(sample_rate=8000, n_fft=64, hop_length=16, win_length=64, n_mels=5, fmax=4000.0)


@pytest.fixture(params=[small_waveflow, small_waveglow], ids=["waveflow", "waveglow"])
def flow(request):
    return request.param()


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frames(wave, hop=16, n_fft=64):
    window = get_window("hann", n_fft)
    starts = range(0, len(wave) - n_fft + 1, hop)
    return np.stack([np.abs(np.fft.rfft(wave[s : s + n_fft] * window)) for s in starts], 1)


def output(flow, level):
    mel = torch.full((1, 5, 88), level, dtype=torch.float64)
    with torch.no_grad():
        return flow.decode(torch.zeros(flow.latent_shape(mel), dtype=torch.float64), mel)[0].numpy()


def test_the_bias_is_what_the_model_makes_of_silence(flow):
    bias = Denoiser(flow, SPEC).bias
    wanted = frames(output(flow, float(np.log(1e-5))))[:, 4:-4].mean(1)
    np.testing.assert_allclose(bias.numpy(), wanted, rtol=1e-9, atol=1e-12)
    assert wanted.max() > 1e-3


def test_the_public_bias_is_the_first_frame_of_a_zero_mel(flow):
    wave = output(flow, 0.0)
    padded = np.pad(wave, 32, mode="reflect")
    np.testing.assert_allclose(Denoiser(flow, SPEC, "zero-mel").bias.numpy(), frames(padded)[:, 0], rtol=1e-9)


def test_the_equation(flow):
    """|Y| = max(0, |X| - s * bias) with X's phase, frame by frame, and overlap-add."""
    denoiser, wave, strength = Denoiser(flow, SPEC), noise(1, 500), 0.7
    window = get_window("hann", 64)
    padded = np.pad(wave[0].numpy(), (32, 96))
    total, weight = np.zeros(len(padded)), np.zeros(len(padded))
    for start in range(0, len(padded) - 63, 16):
        x = np.fft.rfft(padded[start : start + 64] * window)
        y = np.maximum(np.abs(x) - strength * denoiser.bias.numpy(), 0) * np.exp(1j * np.angle(x))
        total[start : start + 64] += np.fft.irfft(y) * window
        weight[start : start + 64] += window**2
    wanted = (total / np.maximum(weight, 1e-9))[32:532]
    np.testing.assert_allclose(denoiser(wave, strength)[0].numpy(), wanted, atol=1e-10)


def test_hum_goes_and_nothing_is_nothing(flow):
    denoiser = Denoiser(flow, SPEC)
    wave = noise(1, 400)
    torch.testing.assert_close(denoiser(wave, 0.0), wave)
    denoiser.bias = torch.zeros_like(denoiser.bias)
    torch.testing.assert_close(denoiser(wave, 1.0), wave, atol=1e-12, rtol=0)
    denoiser.bias += 1e9
    assert not denoiser(wave, 1.0).any()
    assert not Denoiser(flow, SPEC)(torch.zeros(2, 100, dtype=torch.float64)).any()


@pytest.mark.parametrize("n", [1, 15, 16, 33, 300])
def test_a_clip_is_denoised_as_if_it_were_alone(flow, n):
    denoiser, waves = Denoiser(flow, SPEC), noise(2, 700)
    waves[0, n:] = 0
    together = denoiser(waves, 0.5)
    torch.testing.assert_close(together[0, :n], denoiser(waves[:1, :n], 0.5)[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("pieces", [[700], [1] * 40 + [300], [100, 7, 250, 64, 1, 200], [3], [64, 64, 64]])
def test_pieces_are_denoised_as_the_whole(flow, pieces):
    denoiser, wave = Denoiser(flow, SPEC), noise(sum(pieces))
    parts = list(denoiser.stream(wave.split(pieces), 0.5))
    torch.testing.assert_close(torch.cat(parts), denoiser(wave[None], 0.5)[0], atol=1e-12, rtol=0)
    if len(pieces) == 6:
        assert len(parts) > 2


def test_bad_settings(flow):
    with pytest.raises(ValueError, match="one of silence, zero-mel, got 'loud'"):
        Denoiser(flow, SPEC, "loud")
    denoiser = Denoiser(flow, SPEC)
    for strength in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="strength >= 0"):
            denoiser(noise(1, 100), strength)
    with pytest.raises(ValueError, match="expected waves"):
        denoiser(noise(100))

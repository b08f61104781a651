"""Log-mels of both public variants, the filter bank and the magnitudes under them."""

import numpy as np
import pytest
import torch

from flowsuite.audio.features.mel import MelSpectrogram, filter_bank
from flowsuite.audio.features.reflect import reflected
from flowsuite.audio.features.spec import MelSpec

pytestmark = pytest.mark.reference_kind("mel")
CHECKED = {"mel", "mel_b", "audio_b_first", "stft_mag_band", "mel_basis_nonzero"}
DTYPES = (torch.float32, torch.float64)


def spec_of(case) -> MelSpec:
    given = case.config["config"]
    return MelSpec(
        sample_rate=given["sampling_rate"],
        n_fft=given["n_fft"],
        hop_length=given["hop_length"],
        win_length=given["win_length"],
        n_mels=given["n_mels"],
        fmin=given["fmin"],
        fmax=given["fmax"],
        scale=given["mel_scale"],
        norm=given["mel_norm"],
        power=given["magnitude_power"],
        log=given["log"],
        clamp=given["clamp"],
        centred=given["center"],
    )


def uncentred(spec: MelSpec) -> MelSpec:
    return MelSpec.from_dict(spec.to_dict() | {"centred": False, "peak": 0.999})


def wave_of(case, dtype=torch.float64):
    return (case.input["wav"].to(dtype) / 32768)[None]


def assert_mels_close(ours, theirs):
    error = (ours - theirs).abs()
    assert ours.shape == theirs.shape
    assert error.max() < 1e-3 and error.mean() < 1e-4


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_mels_of_both_variants(reference_case, dtype):
    spec = spec_of(reference_case)
    wave = wave_of(reference_case, dtype)
    assert_mels_close(MelSpectrogram(spec)(wave)[0], reference_case.output["mel"])
    if "mel_b" in reference_case.output:
        assert_mels_close(MelSpectrogram(uncentred(spec))(wave)[0], reference_case.output["mel_b"])
    assert set(reference_case.output) <= CHECKED


def test_clamped_bands_are_exact(reference_case):
    expected = reference_case.output["mel"]
    floor = expected.min()
    clamped = (expected == floor).all(0)
    if not clamped.any():
        pytest.skip("no silent frame in this case")
    mel = MelSpectrogram(spec_of(reference_case))(wave_of(reference_case, torch.float32))[0]
    assert (mel[:, clamped] == floor).all()
    assert abs(floor - np.log(reference_case.config["config"]["clamp"])) < 1e-6


def test_waveform_that_goes_with_variant_b(reference_case):
    spec, wave = uncentred(spec_of(reference_case)), wave_of(reference_case)
    expected = reference_case.output["audio_b_first"].double()
    scaled = wave * spec.peak / wave.abs().max()
    lead = spec.lead(wave.shape[1])
    torch.testing.assert_close(reflected(scaled, -lead, len(expected) - lead)[0], expected, rtol=0, atol=2e-7)


def test_magnitudes(reference_case):
    spec, wave = spec_of(reference_case), wave_of(reference_case)
    expected = reference_case.output["stft_mag_band"].double()
    segment = reflected(wave, *spec.span(0, spec.frames(wave.shape[1]), wave.shape[1]))
    magnitude = MelSpectrogram(spec).magnitude(segment)[0]
    first = 20
    ours = magnitude[:, first : first + expected.shape[1]]
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5 * float(expected.max()))


def test_filter_bank(reference_case):
    bank = filter_bank(spec_of(reference_case), torch.float64)
    expected = reference_case.output["mel_basis_nonzero"]
    for band, (first, last, weight) in zip(bank.T, expected.double(), strict=True):
        (nonzero,) = torch.nonzero(band > 1e-9, as_tuple=True)
        assert (int(nonzero[0]), int(nonzero[-1])) == (int(first), int(last))
        assert float(band.sum()) == pytest.approx(float(weight), rel=1e-4)

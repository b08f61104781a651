from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch

from flowsuite.audio.features.check import check_mel, diagnose
from flowsuite.audio.features.harmonics import band_centres
from flowsuite.audio.features.level import level
from flowsuite.audio.features.mel import MelSpectrogram
from flowsuite.audio.features.ordinary import statistics
from flowsuite.audio.features.spec import A0, PRESETS
from tests.audio.speech import digits, lj_clips

TOOLCHAINS = {
    "log10": (replace(A0, log="log10"), "log10 instead of a natural logarithm: multiply it by 2.3026"),
    "dB": (replace(A0, log="db"), 'decibels .*: convert it .vocode --spec \'{"log": "db"}\''),
    "0 .. 1": (PRESETS["B0-db"], "decibels scaled to 0 .. 1"),
    "power": (replace(A0, power=2.0), "a power spectrogram \\(values doubled\\)"),
    "height 1": (replace(A0, norm=None), "triangles of height 1"),
    "torchaudio": (replace(A0, scale="htk", norm=None, power=2.0), "power spectrogram .*, triangles of height 1"),
    "log10 of powers": (replace(A0, log="log10", power=2.0, clamp=1e-10), "log10 .*, a power spectrogram"),
    "htk": (replace(A0, scale="htk"), "harmonics say scale 'htk' instead of 'slaney'"),
    "fmax": (replace(A0, fmax=None), "harmonics say fmax None instead of 8000.0"),
}


def mel_of(wave, spec=A0):
    return MelSpectrogram(spec)(wave[None])[0]


@pytest.mark.parametrize("name, clips", [("A0", None), ("B0", 4), ("B0-db", 4)])
def test_genuine_clips_pass_loud_and_quiet(name, clips):
    spec = PRESETS[name]
    for wave in lj_clips(0, clips):
        check_mel(mel_of(wave, spec), spec)
    for gain in (0.1, 0.01, 1e-4, 0.0):
        assert all(diagnose(mel_of(gain * wave, spec), spec) is None for wave in lj_clips(1, 3))


def test_pieces_of_genuine_clips_pass():
    for wave in lj_clips(0, 4):
        mel = mel_of(wave)
        for frames in (1, 20, 60, 150):
            for first in range(0, mel.shape[1] - frames, max(frames, 40)):
                assert diagnose(mel[:, first : first + frames], A0) is None


def test_spoken_digits_pass():
    spec = PRESETS["A0-8k"]
    mel = MelSpectrogram(spec)
    for wave in digits(15):
        check_mel(mel(wave[None])[0], spec)


def test_statistics_are_the_sheets():
    mels = [mel_of(wave) for wave in lj_clips()]
    found = statistics(torch.cat(mels, 1))
    assert found == pytest.approx((-5.28, 2.12, -9.57, -0.42, 2.06), abs=0.02)
    assert (level(mels[0], A0) - mels[0]).abs().max() < 0.1


@pytest.mark.parametrize("name", TOOLCHAINS)
def test_toolchains_are_named(name):
    spec, expected = TOOLCHAINS[name]
    for wave in lj_clips(1, 4):
        with pytest.raises(ValueError, match=expected) as error:
            check_mel(mel_of(wave, spec), A0, "some.npy")
        assert str(error.value).startswith("some.npy: ") and "\n" not in str(error.value)


def test_a_natural_mel_for_a_model_of_another_scale():
    wave = lj_clips(0, 1)[0]
    assert "natural logarithm instead of log10: divide it by 2.3026" in diagnose(mel_of(wave), replace(A0, log="log10"))
    assert "not within 0 .. 1" in diagnose(mel_of(wave), PRESETS["B0-db"])
    assert "scale 'slaney' instead of 'htk'" in diagnose(mel_of(wave), replace(A0, scale="htk"))


def test_other_troubles_are_named():
    wave = lj_clips(0, 1)[0]
    mel = mel_of(wave)
    assert "transpose it" in diagnose(mel.T, A0)
    assert "80 bands" in diagnose(mel[:64], A0)
    assert "expected a floating-point mel" in diagnose(mel[0], A0)
    broken = mel.clone()
    broken[3, 7] = torch.nan
    assert "1 NaN" in diagnose(broken, A0) and "frame 7" in diagnose(broken, A0)
    broken[3, 7] = -torch.inf
    assert "without a clamp" in diagnose(broken, A0)
    assert "divide the wave by 32768" in diagnose(mel_of(wave * 32768), A0)
    assert "it has mean 0 and standard deviation 1" in diagnose((mel - mel.mean()) / mel.std(), A0)
    assert "no known toolchain" in diagnose(mel * 100, A0)


def in_decibels(mel):
    return 20 * mel / math.log(10)


def normalised(mel):
    return (mel - mel.mean(1, True)) / mel.std(1, keepdim=True)


def stretched(mel):
    return (mel - mel.min()) / (mel.max() - mel.min())


FOREIGN = {  # no spec of ours: nothing may be said to be what it looks like
    "unit variance per band": (
        lambda mel: (mel - mel.mean(1, True)) / mel.std(1, keepdim=True),
        "every band has mean 0",
    ),
    "its own extremes": (
        lambda mel: (mel - mel.min()) / (mel.max() - mel.min()),
        "least and largest values are 0 and 1",
    ),
    "-4 .. 4": (lambda mel: (8 * (in_decibels(mel) + 80) / 100 - 4).clamp(-4, 4), "clipped to -4 .. 4"),
    "own maximum": (lambda mel: (in_decibels(mel) - in_decibels(mel).max()).clamp(min=-80), "below its own maximum"),
    "noise": (torch.randn_like, "neighbouring frames hardly agree .correlation -?0.0"),
    "log1p": (lambda mel: mel.exp().log1p(), "normalised, or no logarithm"),
    "linear": (torch.exp, "normalised, or no logarithm|no known"),
    "binary logarithm": (lambda mel: mel / math.log(2), "it may be|no known"),
    "halved": (lambda mel: mel / 2, "it may be"),
    "shifted up": (lambda mel: mel + 5, "it may be"),
    "shifted down": (lambda mel: mel - 4, "no known"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_nothing_wrong_is_named(name):
    change, expected = FOREIGN[name]
    torch.manual_seed(0)
    for wave in lj_clips(1, 4):
        found = diagnose(change(mel_of(wave)), A0)
        assert found.startswith("not a mel of this spec: its ") and "looks like" not in found
        assert re.search(expected, found), found


def test_what_two_toolchains_could_have_made_is_not_decided():
    """The logarithm base 10 of powers and the natural one of magnitudes are almost the same scale."""
    spec = replace(A0, log="log10", power=2.0, norm=None, clamp=1e-10)
    found = diagnose(mel_of(lj_clips(0, 1)[0], spec), A0)
    assert "it may be" in found and "; or " in found
    for settings in ('{"log": "log10", "power": 2.0, "norm": null}', '{"norm": null}'):
        assert f"(vocode --spec '{settings}')" in found


def test_all_that_was_seen_is_said():
    found = diagnose(10 * mel_of(lj_clips(0, 1)[0]), A0)
    assert "below the clamp" in found and "louder than a full-scale tone" in found and "spread too far" in found


@pytest.mark.parametrize("spec", [A0, replace(A0, scale="htk", fmax=None), PRESETS["A0-8k"]], ids=["A0", "htk", "8k"])
def test_centres_are_where_the_bank_peaks(spec):
    from torchaudio.functional import melscale_fbanks

    fine = melscale_fbanks(20001, spec.fmin, spec.highest, spec.n_mels, spec.sample_rate, None, spec.scale)
    peaks = torch.linspace(0, spec.sample_rate / 2, 20001)[fine.argmax(0)]
    torch.testing.assert_close(band_centres(spec).float(), peaks, rtol=0, atol=spec.sample_rate / 40000)

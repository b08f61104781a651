from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from flowsuite.audio.features.compress import compress, expand, silence
from flowsuite.audio.features.reflect import reflect_index, reflected
from flowsuite.audio.features.spec import A0, B0, PRESETS, MelSpec, as_spec, preset_name

WRONG = {
    "sample_rate": (0, "positive integer"),
    "n_fft": (1024.0, "positive integer"),
    "hop_length": (2000, "hop_length <= win_length <= n_fft"),
    "win_length": (2048, "hop_length <= win_length <= n_fft"),
    "n_mels": (True, "positive integer"),
    "fmin": (9000, "fmin < fmax"),
    "fmax": (12000, "half the sample rate"),
    "scale": ("mel", "slaney, htk"),
    "norm": ("l1", "'slaney' or null"),
    "power": (0, "positive"),
    "log": ("ln", "natural, log10, db"),
    "clamp": (-1.0, "positive"),
    "centred": ("yes", "true or false"),
    "peak": (1.5, "in \\(0, 1\\]"),
    "unit_range": (True, "log 'db'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings_are_named(name):
    value, expected = WRONG[name]
    with pytest.raises(ValueError, match=expected) as error:
        MelSpec(**{name: value})
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="a number"):
        MelSpec(fmin="0")
    with pytest.raises(ValueError, match="unknown setting 'hop'"):
        as_spec({"hop": 1})
    with pytest.raises(ValueError, match="unknown mel preset 'C0'"):
        as_spec("C0")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_plain_types(name):
    spec = PRESETS[name]
    assert MelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec == as_spec(spec) == as_spec(name)
    assert preset_name(spec) == name
    assert as_spec(spec.to_dict() | {"fmax": 3000}).differences(spec) == [f"fmax: 3000.0 here, {spec.fmax} there"]


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 2560, 16000])
def test_frames_and_spans(samples):
    assert A0.frames(samples) == 1 + samples // 256 and A0.lead(samples) == 0 and A0.left == 512
    assert B0.frames(samples) == -(-samples // 256) and B0.left == 384
    assert A0.span(3, 2, samples) == (768 - 512, 768 - 512 + 1024 + 256)
    start, stop = B0.span(0, B0.frames(samples), samples)
    left, right = -start, stop - samples
    assert 0 <= right - left <= 1  # half of the filling at either end
    with pytest.raises(ValueError, match="at least 1 sample"):
        A0.frames(0)


@pytest.mark.parametrize("samples", [1, 2, 3, 10])
def test_reflection_is_numpys(samples):
    wave = torch.randn(2, samples)
    expected = np.pad(wave.numpy(), ((0, 0), (25, 31)), mode="reflect")
    assert np.array_equal(reflected(wave, -25, samples + 31).numpy(), expected)
    assert torch.equal(reflected(wave, 0, samples), wave)
    with pytest.raises(ValueError, match="at least 1 sample"):
        reflect_index(0, 0, 4)


@pytest.mark.parametrize("name", PRESETS)
def test_logarithms_are_undone(name):
    spec = PRESETS[name]
    bands = torch.logspace(-4, 0.2, 50, dtype=torch.float64)
    torch.testing.assert_close(expand(compress(bands, spec), spec), bands)
    assert compress(torch.zeros(1), spec).item() == pytest.approx(silence(spec))


def test_logarithms_by_hand():
    bands = torch.tensor([1e-9, 0.1, 1.0, 10.0], dtype=torch.float64)
    for settings, expected in (
        ({}, [-11.512925, -2.302585, 0, 2.302585]),
        ({"log": "log10"}, [-5, -1, 0, 1]),
        ({"log": "db"}, [-100, -20, 0, 20]),
        ({"log": "db", "power": 2.0}, [-50, -10, 0, 10]),
        ({"log": "db", "unit_range": True}, [0, 0.7, 0.9, 1]),
    ):
        assert compress(bands, MelSpec(**settings)).tolist() == pytest.approx(expected)

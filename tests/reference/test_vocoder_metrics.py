"""Every objective metric of a copy against its recording, and the pitch tracks under them."""

import numpy as np
import pytest
import torch

from flowsuite.audio.metrics.logmel import metric_spec
from flowsuite.audio.metrics.perceptual import pesq_available
from flowsuite.audio.metrics.pitch import PitchTrack, pitch_errors, track_pitch
from flowsuite.audio.metrics.snr import snr_db
from flowsuite.audio.metrics.table import copy_synthesis_metrics

pytestmark = pytest.mark.reference_kind("vocoder-metrics")
NAMES = {  # theirs -> ours
    "mstft": "mstft",
    "mcd13": "mcd_db",
    "logmel_l1": "logmel_l1",
    "pesq_wb": "pesq_wb",
    "f0_rmse_hz": "f0_rmse_hz",
    "f0_rmse_cents": "f0_rmse_cents",
    "vuv_err": "vuv_error",
    "vuv_f1": "vuv_f1",
    "gpe": "gpe",
    "period_rmse": "periodicity_rmse",
}
TRACKS = {f"{name}_{wave}" for name in ("f0", "voiced", "prob") for wave in "yx"}
FROM_PITCH = ("f0_rmse_hz", "f0_rmse_cents", "vuv_err", "vuv_f1", "gpe", "period_rmse")


def waves(case):
    return [case.input[name].double() / 32768 for name in ("y16", "x16")]


def close(expected):
    return pytest.approx(float(expected), rel=1e-3, abs=1e-6, nan_ok=True)


def test_metrics(reference_case):
    output = reference_case.output
    recording, synthesis = waves(reference_case)
    spec = metric_spec(reference_case.config["config"]["sampling_rate"])
    ours = copy_synthesis_metrics(recording, synthesis, spec)
    assert ours.keys() == set(NAMES.values()) - (set() if pesq_available() else {"pesq_wb"})
    for name, value in output.items():
        if NAMES.get(name) in ours:
            assert ours[NAMES[name]] == close(value), name
    assert snr_db(recording, synthesis) == close(output["snr_db"])
    assert set(output) <= {*NAMES, *TRACKS, "snr_db"}


@pytest.mark.parametrize("which", ["y", "x"])
def test_pitch_tracks(reference_case, which):
    output = reference_case.output
    wave = dict(zip("yx", waves(reference_case), strict=True))[which]
    track = track_pitch(wave, reference_case.config["config"]["sampling_rate"])
    voiced = output[f"voiced_{which}"].numpy().astype(bool)
    same = track.voiced == voiced
    assert track.voiced.shape == voiced.shape and same.mean() > 0.98
    both = same & voiced
    off = np.abs(track.f0[both] / output[f"f0_{which}"].numpy()[both] - 1)
    assert (off < 1e-3).mean() > 0.98
    np.testing.assert_allclose(track.probability, output[f"prob_{which}"].numpy(), atol=0.02)


def test_pitch_errors_of_the_given_tracks(reference_case):
    output = {name: value.numpy() for name, value in reference_case.output.items()}
    tracks = [PitchTrack(output[f"f0_{w}"], output[f"voiced_{w}"] > 0.5, output[f"prob_{w}"]) for w in "yx"]
    ours = pitch_errors(*tracks)
    for name in FROM_PITCH:
        assert ours[NAMES[name]] == pytest.approx(float(output[name]), rel=1e-9, nan_ok=True), name


def test_a_recording_is_its_own_perfect_copy(reference_case):
    recording, _ = waves(reference_case)
    part = torch.clone(recording[:12000])
    spec = metric_spec(reference_case.config["config"]["sampling_rate"])
    ours = copy_synthesis_metrics(part, part, spec, pesq=False)
    ideal = {"vuv_f1": 1.0}
    assert ours == pytest.approx({name: ideal.get(name, 0.0) for name in ours}, nan_ok=True)

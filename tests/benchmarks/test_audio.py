"""The audio suite on tiny networks."""

import argparse
import itertools

import pytest
import torch

from benchmarks import audio
from benchmarks.roofline_audio import Roofline, flops_per_sample


def test_tables_have_a_row_for_every_contender(monkeypatch):
    for name, value in {"CONFIGURATIONS": {"tiny": (8, 4)}, "PUBLISHED": "tiny", "SECONDS": (0.03,)}.items():
        monkeypatch.setattr(audio, name, value)
    monkeypatch.setattr(audio, "GLOW", 4)
    monkeypatch.setattr(audio, "CROP", 700)
    args = argparse.Namespace(device="cpu", rounds=1, part=None, no_compile=True)
    synthesis, training = map(str, audio.tables(args))
    for who in ("ours, cached", "ours, no cache", "public reverse ", "public reverse_fast ", "WaveGlow, ours"):
        assert f"| {who}" in synthesis
    for who in ("ours", "public strategy", "WaveGlow C=4, ours"):
        assert f"| tiny | {who} |" in training


def test_operations_are_those_of_the_sheet():
    assert round(flops_per_sample(16, 64) / 1e6, 2) == 11.06
    assert round(flops_per_sample(16, 128) / 1e6, 2) == 41.78


def test_limits_are_those_of_the_sheet():
    """Of an H100: 800 TFLOP/s, 3.0 TB/s."""
    machine = Roofline("cpu")
    machine.gpu, machine.rates["bfloat16"], machine.bandwidth = True, 800e12, 3.0e12
    found = {channels: machine.limits(16, channels, True) for channels in (64, 128, 256)}
    for channels, sheet in {64: (3280, 2440), 128: (868, 1340), 256: (224, 702)}.items():
        assert found[channels] == pytest.approx(sheet, rel=0.01)
    assert machine.limits(16, 64, False)[1] == pytest.approx(1220, rel=0.01)  # twice the bytes


def test_the_paths_of_a_gpu():
    assert list(audio.synthesis_paths("cpu", True)) == ["ours, cached"]
    paths = audio.synthesis_paths("cuda", True)
    assert len(set(paths.values())) == len(paths) == 5
    assert {(how.dtype, how.graphs) for how in paths.values()} == set(itertools.product((None, torch.bfloat16), (0, 1)))
    assert len(audio.synthesis_paths("cuda", False)) == 4
    assert audio.clips_of("cuda") == [(1, 1), (1, 10), (8, 10)] and audio.clips_of("cpu") == [(1, 1), (1, 10)]

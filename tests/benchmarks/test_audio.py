"""The audio suite on tiny networks."""

import argparse

from benchmarks import audio


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
    assert round(audio.flops_per_sample(16, 64) / 1e6, 2) == 11.06
    assert round(audio.flops_per_sample(16, 128) / 1e6, 2) == 41.78

"""The benchmark's models and counts on a tiny size; nothing here is timed."""

import pytest
import torch

pytest.importorskip("nflows")
pytest.importorskip("normflows")

from benchmarks import images
from benchmarks.peers import Size, nflows_glow, normflows_glow

TINY = Size(8, 2, 2, 8, 4)


def coupling_parameters(model):
    """Sizes of all convolution weights larger than 1x1: those of the coupling nets."""
    return sorted(p.numel() for p in model.parameters() if p.ndim == 4 and p.shape[-1] == 3)


def test_peers_are_the_same_model():
    ours = images.ours(TINY, "port")
    steps = [step for level in ours.body.levels for step in level[1]]
    ours_sizes = sorted(size for step in steps for size in coupling_parameters(step.coupling))
    assert ours_sizes == coupling_parameters(nflows_glow(TINY)) == coupling_parameters(normflows_glow(TINY))


def test_reversible_keeps_less():
    x = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)

    def kept(steps, reversible):
        return images.saved_bytes(images.Glow((3, 8, 8), 2, steps, 8, reversible=reversible), x)

    assert kept(8, True) == kept(2, True)
    growth = kept(8, False) - kept(2, False)
    assert growth > kept(8, True)
    assert kept(14, False) - kept(8, False) == growth


def test_table_has_a_row_for_every_contender():
    import argparse

    text = str(images.speed(TINY, argparse.Namespace(device="cpu", rounds=1, no_compile=True)))
    for name in ("nflows", "normflows", "flowsuite", "coupling nets alone"):
        assert f"| {name} |" in text

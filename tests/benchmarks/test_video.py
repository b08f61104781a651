"""The benchmark's models and counts on a tiny size; nothing here is timed."""

import argparse

import pytest
import torch

from benchmarks import video
from benchmarks.claims import CLAIMS
from benchmarks.comparisons import find
from benchmarks.peers_video import PublicVideoFlow
from flowsuite.video.sampler import draw_noise

TINY = {"video_shape": (3, 8, 8), "levels": 2, "steps": 2, "width": 8, "prior_blocks": 2, "prior_width": 8}


@pytest.mark.parametrize(
    "coupling, past, activation", [("affine", 3, "gatu"), ("additive", 1, "relu"), ("additive", 6, "gatu")]
)
@torch.no_grad()
def test_the_public_strategy_is_the_same_model(coupling, past, activation):
    changes = {"coupling": coupling, "past": past, "activation": activation, "prior_activation": activation}
    flow = video.made("cpu", **TINY, **changes).double()
    for parameter in flow.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    public, x = PublicVideoFlow(flow), video.clips(flow, 2, past + 1).double()
    torch.testing.assert_close(public.last_frame_log_prob(x), flow.frame_log_prob(x, past)[:, 0])
    noise = draw_noise(flow, 2, 3, None)
    torch.testing.assert_close(public.sample(x[:, :past], noise), flow.sample(x[:, :past], 3, noise=noise)[:, 0])


@pytest.mark.parametrize("prior", ["window", "causal"])
def test_reversible_keeps_less(prior):
    def kept(steps, reversible):
        sizes = {**TINY, "steps": steps, "prior_blocks": 1}
        flow = video.made("cpu", **sizes, prior=prior, reversible=reversible).train()
        x = video.clips(flow, 1, 5)
        return video.saved_bytes(flow, lambda: -flow.frame_log_prob(x, 3).mean())

    assert kept(8, True) < 1.5 * kept(2, True)
    assert kept(8, False) > 2 * kept(2, False)


def test_tables_have_a_row_for_every_contender(monkeypatch):
    monkeypatch.setattr(video, "CONFIGURATIONS", {"cpu": {"4 steps, width 64": TINY}})
    monkeypatch.setattr(video, "DEPTHS", (2,))
    tables = list(video.tables(argparse.Namespace(device="cpu", rounds=1)))
    claims = [c for c in CLAIMS["video"]() if "4 steps" in c.what or "depth 2" in c.what]
    assert len(claims) == 7 and all(find(claim, argparse.Namespace(tables=tables, device="cpu")) for claim in claims)
    text = "\n".join(map(str, tables))
    for name in ("ours, clips of 13", "public strategy", "ours, causal prior", "ours, published prior"):
        assert f"| {name} |" in text

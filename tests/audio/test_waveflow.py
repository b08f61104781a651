"""WaveFlow: every height, number of flows and permutation."""

import math

import pytest
import torch

from flowsuite.audio.conditioning import Mels
from flowsuite.audio.waveflow import WaveFlow, flow_permutations
from tests.audio.flows_made import clips, reaching, waveflow


def test_permutations():
    assert [p.tolist() for p in flow_permutations(4, 3, "reverse")] == [[3, 2, 1, 0]] * 3
    bipartite = [p.tolist() for p in flow_permutations(8, 5, "bipartite")]
    assert bipartite == [[7, 6, 5, 4, 3, 2, 1, 0]] * 2 + [[3, 2, 1, 0, 7, 6, 5, 4]] * 3
    assert flow_permutations(2, 1, "bipartite")[0].tolist() == [0, 1]


@pytest.mark.parametrize("permutation", ["bipartite", "reverse"])
@pytest.mark.parametrize("height", [4, 8, 16, 32, 64])
@torch.no_grad()
def test_round_trips(height, permutation):
    """Any number of flows, any length, clips of unequal lengths."""
    for n_flows in range(1, 9):
        flow = waveflow(height, n_flows, 0.1, channels=2 + n_flows % 3, permutation=permutation)
        n = height * (1 + n_flows % 3) + 5 * n_flows
        x, mel = clips(2, n)
        lengths = torch.tensor([n, 1 + n // 2])
        x[1, lengths[1] :] = 0
        context = Mels(mel, lengths)
        z = flow.encode(x, context)
        torch.testing.assert_close(flow.decode(z, context), x, rtol=0, atol=1e-9)
        there = flow.encode(torch.randn(2, n).double(), context) != 0
        noise = torch.randn(z.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * there
        torch.testing.assert_close(flow.encode(flow.decode(noise, context), context), noise, rtol=0, atol=1e-9)


@pytest.mark.parametrize("permutation", ["bipartite", "reverse"])
@pytest.mark.parametrize("height, n_flows, channels", [(4, 8, 3), (8, 3, 5), (16, 5, 2), (32, 2, 3)])
def test_cached_synthesis_is_naive_synthesis(height, n_flows, channels, permutation):
    flow = waveflow(height, n_flows, 0.1, channels=channels, permutation=permutation, dilations=[1, 2, height // 2])
    n = 2 * height + 3
    _, mel = clips(2, n)
    context = Mels(mel, torch.tensor([n, height + 1]))
    z = torch.randn(2, height, 3, dtype=torch.float64)
    with torch.no_grad():
        cached = flow.decode(z, context)
    naive = flow.decode(z, context)  # where autograd records
    assert naive.requires_grad
    torch.testing.assert_close(cached, naive.detach(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("n_flows", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [32, 37])
@torch.no_grad()
def test_starts_as_a_permutation(n_flows, n):
    flow = waveflow(8, n_flows, std=0)
    x, mel = clips(2, n)
    z = flow.encode(x, mel)
    for i, row in enumerate(flow.latent_order.tolist()):
        for j in range(z.shape[2]):
            at = j * 8 + row
            assert torch.equal(z[:, i, j], x[:, at] if at < n else torch.zeros(2).double())
    gaussian = (-0.5 * x**2 - 0.5 * math.log(2 * math.pi)).sum(1)
    torch.testing.assert_close(flow.log_prob(x, mel), gaussian, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    "channels, published", [(64, 5_916_372), (96, 12_782_036), (128, 22_252_756), (256, 86_186_196)]
)
def test_published_sizes(channels, published):
    flow = WaveFlow(16, channels, n_flows=1)
    upsampler = sum(p.numel() for p in flow.upsample.parameters())
    one = sum(p.numel() for p in flow.transform.parameters())
    assert upsampler == 196 and upsampler + 8 * one == published


@pytest.mark.parametrize("height", [8, 16, 32, 64])
def test_published_heights(height):
    flow = WaveFlow(height)
    assert sum(p.numel() for p in flow.parameters()) == 5_916_372
    assert flow.transform[0].net.receptive_rows >= height


def test_every_row_is_transformed():
    """After all flows no row of the waveform is as it came, which without permutations row 0 would be."""
    for permutation in ("bipartite", "reverse"):
        flow = waveflow(8, 2, permutation=permutation)
        x, mel = clips(1, 32)
        rows = torch.empty_like(flow.encode(x, mel)[0])
        rows[...] = flow.encode(x, mel)[0]
        plain = x.view(4, 8).T[flow.latent_order]
        assert ((rows - plain).abs() > 1e-6).all(1).sum() >= 7


@pytest.mark.parametrize("recompute", [False, True])
def test_recompute(recompute):
    x, mel = clips(2, 30)
    context = Mels(mel, torch.tensor([30, 19]))
    grads = []
    for flow in (waveflow(8, 3), waveflow(8, 3, recompute=recompute)):
        density = flow.log_prob(x, context)
        grads.append([density, *torch.autograd.grad(density.sum(), list(flow.parameters()))])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"height": 1}, "height >= 2, n_flows >= 1 and n_layers >= 1, got 1, 8, 8"),
        ({"n_flows": 0}, "n_flows >= 1"),
        ({"n_layers": 0}, "n_layers >= 1"),
        ({"permutation": "none"}, "permutation must be one of bipartite, reverse, got 'none'"),
        ({"height": 5, "dilations": [1, 1], "n_layers": 2}, '"bipartite" needs an even height, got 5'),
        ({"dilations": [1, 1]}, "one height dilation for each of 8 layers, got 2"),
        ({"factors": [16, 8]}, r"the factors \[16, 8\] make a hop of 128, not 256"),
        ({"factors": [3, 8]}, "even numbers"),
        ({"hop_length": 250}, "product of two even factors, got 250"),
        ({"channels": 0}, "channels"),
        ({"scale_bound": -1.0}, "scale_bound must be positive"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        WaveFlow(**options)


def test_short_dilations_warn():
    with pytest.warns(UserWarning, match="cannot see the first"):
        waveflow(16, 1, dilations=[1, 1])
    assert reaching(16) == [1, 7]

"""Public weights of random configurations: ours against the equations."""

import pytest
import torch

from flowsuite.audio.reference import from_reference
from tests.audio import oracle

WAVEFLOWS = [
    # height, channels, flows, layers, layers per cycle, mels, factors, bipartite, batch
    (4, 3, 1, 2, 1, 2, [2, 4], True, 1),
    (8, 5, 3, 4, 1, 3, [4, 4], True, 2),
    (8, 4, 5, 4, 2, 1, [16], True, 1),
    (16, 3, 6, 4, 3, 4, [4, 2, 2], True, 3),
    (32, 2, 2, 5, 5, 3, [8, 8], True, 1),
    (64, 2, 4, 6, 5, 2, [16, 16], True, 1),
    (6, 3, 7, 3, 2, 2, [6, 2], True, 2),
    (5, 3, 3, 3, 2, 2, [4, 4], False, 2),
]


@pytest.mark.parametrize("case", WAVEFLOWS, ids=lambda c: f"h{c[0]}-F{c[2]}-L{c[3]}-cycle{c[4]}")
@pytest.mark.parametrize("file_config", [False, True], ids=["constructor", "file"])
@torch.no_grad()
def test_waveflow(case, file_config):
    height, channels, flows, layers, cycle, mels, factors, bipartite, batch = case
    weights = oracle.waveflow_weights(channels, flows, layers, mels, factors, seed=height + flows)
    if file_config:
        kind = "waveflow_bipartize" if bipartite else "waveflow"
        config = {"waveflow_config": {"n_height": height, "n_layer_per_cycle": cycle, "coupling_type": kind}}
    else:
        config = {"n_height": height, "bipartize": bipartite, "layers_per_dilation_h_cycle": cycle}
    flow = from_reference("l0sg-waveflow", weights, config)
    dilations = [2 ** (layer % cycle) for layer in range(layers)]
    settings = (height, dilations, bipartite, factors)
    draw = torch.Generator().manual_seed(3)
    n = height * 7
    x = torch.randn(batch, n, generator=draw, dtype=torch.float64)
    mel = torch.randn(batch, mels, -(-n // flow.hop_length), generator=draw, dtype=torch.float64)
    z, ladj = oracle.waveflow_forward(weights, x, mel, *settings)
    torch.testing.assert_close(flow.encode(x, mel), z, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(flow.log_prob(x, mel), oracle.gaussian(z) + ladj, rtol=1e-10, atol=1e-10)
    trim = flow.hop_length * mel.shape[2] - n
    noise = torch.randn(z.shape, generator=draw, dtype=torch.float64)
    expected = oracle.waveflow_inverse(weights, noise, mel, *settings)
    torch.testing.assert_close(flow.decode(noise, mel, trim), expected, rtol=1e-9, atol=1e-9)


WAVEGLOWS = [
    # groups, channels, flows, layers, mels, early, kernel, stride, taps, batch
    (8, 6, 12, 2, 3, (4, 2), 64, 16, 3, 2),
    (16, 4, 3, 2, 2, (2, 4), 24, 16, 5, 2),
    (8, 4, 4, 3, 2, (1, 2), 32, 32, 3, 1),
    (4, 4, 3, 1, 1, (4, 2), 17, 16, 3, 1),
    (2, 3, 4, 2, 2, (2, 0), 20, 8, 1, 3),
    (8, 4, 6, 2, 2, (5, 4), 40, 20, 7, 1),
]


@pytest.mark.parametrize("case", WAVEGLOWS, ids=lambda c: f"g{c[0]}-F{c[2]}-early{c[5]}")
@torch.no_grad()
def test_waveglow(case):
    groups, channels, flows, layers, mels, early, kernel, stride, taps, batch = case
    sizes = {"kernel": kernel, "taps": taps}
    weights = oracle.waveglow_weights(groups, channels, flows, layers, mels, early, seed=flows, **sizes)
    config = {"n_early_every": early[0], "n_early_size": early[1], "upsample_stride": stride}
    flow = from_reference("nvidia-waveglow", weights, config)
    draw = torch.Generator().manual_seed(3)
    n = groups * 9
    x = torch.randn(batch, n, generator=draw, dtype=torch.float64)
    mel = torch.randn(batch, mels, -(-n // stride), generator=draw, dtype=torch.float64)
    z, ladj = oracle.waveglow_forward(weights, x, mel, groups, early, stride)
    torch.testing.assert_close(flow.encode(x, mel), z, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(flow.log_prob(x, mel), oracle.gaussian(z) + ladj, rtol=1e-10, atol=1e-10)
    back = flow.decode(z, mel, trim=stride * mel.shape[2] - n)
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)

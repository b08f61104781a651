"""WaveGlow: sizes, first values, what leaves early."""

import math

import pytest
import torch

from flowsuite.audio.conditioning import Conditioning, Mels
from flowsuite.audio.waveglow import WaveGlow
from flowsuite.audio.wavenet import WaveNet
from tests.audio.flows_made import clips, moved, waveglow


@pytest.mark.parametrize(
    "channels, published", [(64, 17_595_752), (128, 34_830_440), (256, 87_879_272), (512, 268_294_760)]
)
def test_published_sizes(channels, published):
    with torch.device("meta"):
        flow = WaveGlow(channels=channels)
    assert sum(p.numel() for p in flow.parameters()) == published
    assert [step.kept for step in flow.transform] == [0] * 4 + [2] * 4 + [4] * 4


@pytest.mark.parametrize("n", [32, 30])
@torch.no_grad()
def test_starts_as_a_rotation(n):
    """The density at first is the Gaussian one, of the samples in whole groups."""
    flow = waveglow(8, 5, std=0, early_size=2)
    x, mel = clips(2, n)
    kept = n // 8 * 8
    gaussian = (-0.5 * x[:, :kept] ** 2 - 0.5 * math.log(2 * math.pi)).sum(1)
    torch.testing.assert_close(flow.log_prob(x, mel), gaussian, rtol=1e-6, atol=0)


@torch.no_grad()
def test_rows_leave_untouched():
    flow = waveglow(8, 5, early_every=2, early_size=2)
    mel = clips(1, 32)[1]
    condition = flow.condition(mel, 32)
    rows, seen = flow.transform[0](torch.randn(1, 8, 4).double(), condition)[0], []
    for step in list(flow.transform)[1:]:
        before, rows = rows, step(rows, condition)[0]
        seen.append(torch.equal(before[:, : step.kept], rows[:, : step.kept]))
        assert not torch.isclose(before[:, step.kept], rows[:, step.kept]).any()
    assert all(seen) and [step.kept for step in flow.transform] == [0, 0, 2, 2, 4]


@torch.no_grad()
def test_negative_determinants():
    """A matrix that mirrors is no less invertible."""
    flow = waveglow(4, 2)
    flow.transform[0].mix.weight[0] *= -1
    x, mel = clips(2, 20)
    context = Mels(mel, torch.tensor([20, 20]))
    assert flow.log_prob(x, mel).isfinite().all()
    torch.testing.assert_close(flow.decode(flow.encode(x, mel), context), x, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@torch.no_grad()
def test_net_ends_with_the_clip(kernel_size):
    torch.manual_seed(0)
    net = moved(WaveNet(2, 3, 6, 4, 3, kernel_size))
    rows, mel = torch.randn(2, 2, 9).double(), torch.randn(2, 3, 2, 9).double()
    valid = (torch.arange(9) < torch.tensor([[9], [5]]))[:, None].expand(2, 2, 9)
    rows[1, :, 5:] = 0
    out = net(rows, Conditioning(mel, valid))
    assert out.shape == (2, 6, 9) and not out[1, :, 5:].any()
    alone = net(rows[1:, :, :5], Conditioning(mel[1:, ..., :5]))
    torch.testing.assert_close(out[1:, :, :5], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_flows": 0}, "n_flows, n_layers, n_mels, early_every >= 1"),
        ({"early_size": -1}, "early_size >= 0"),
        ({"early_every": 2}, "no 2 of 8 rows are left for flow 8: 8 have left as latents"),
        ({"upsample_kernel": 100}, "kernel_size >= hop_length, got 100 and 256"),
        ({"kernel_size": 4}, "kernel_size must be odd, got 4"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        WaveGlow(**options)


def test_bad_input():
    flow = waveglow(4, 3)
    with pytest.raises(ValueError, match="MixedCoupling needs a Conditioning"):
        flow.transform(torch.zeros(1, 4, 3).double(), None)
    with pytest.raises(ValueError, match=r"expected \(B, 4, width\), got \(1, 5, 3\)"):
        flow.transform(torch.zeros(1, 5, 3).double(), Conditioning(torch.zeros(1, 3, 5, 3)))

"""One flow over rows: the cached inverse against the naive one, and against the data."""

import pytest
import torch

from flowsuite.audio.conditioning import Conditioning
from tests.audio.flows_made import BANDS, conditioning, row_flow

NETS = [
    # height, dilations, channels
    (2, [1], 1),
    (4, [1, 1], 3),
    (8, [2, 1, 1], 5),
    (9, [3, 2], 2),
    (16, [1, 2, 4, 1], 3),
    (13, [4, 5, 1], 4),
    (7, [9], 3),
]


def ragged(width: int, height: int) -> torch.Tensor:
    """Lengths of three clips, one full, one that ends inside a column, one of a single sample."""
    return torch.tensor([width * height, (width // 2) * height + 1, 1])


@pytest.mark.filterwarnings("ignore:the dilations")
@pytest.mark.parametrize("height, dilations, channels", NETS)
@pytest.mark.parametrize("masked", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("width", [1, 6])
def test_inverses(height, dilations, channels, masked, width):
    flow = row_flow(height, dilations, channels)
    context = conditioning(3, height, width, ragged(width, height) if masked else None)
    x = torch.randn(3, height, width, dtype=torch.float64)
    if masked:
        x = x * context.valid[:, flow.order]
    with torch.no_grad():
        z, ladj = flow(x, context)
        cached, cached_ladj = flow.inverse(z, context)
        naive, naive_ladj = flow.naive_inverse(z, context)
    torch.testing.assert_close(cached, x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(cached, naive, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(cached_ladj, -ladj, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(naive_ladj, -ladj, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(z[:, 0], x[:, 0], rtol=0, atol=0)
    if masked:
        assert not z[~context.valid[:, flow.order]].any()


def test_causality():
    """log_s of row i sees rows 0..i-1 of the waveform and rows 1..i of the spectrogram, in this flow's order."""
    flow, height, width = row_flow(6, [1, 1, 1], 3), 6, 3
    x = torch.randn(1, height, width, dtype=torch.float64)
    mel = conditioning(1, height, width).mel

    def log_s(x, mel):
        return flow.affine(x, Conditioning(mel))[0]

    of_x, of_mel = torch.autograd.functional.jacobian(log_s, (x, mel))
    of_x = of_x.abs().sum((0, 2, 3, 5))  # (rows 1..5, rows 0..5)
    of_mel = of_mel.abs().sum((0, 2, 3, 4, 6))[:, flow.order]
    rows = torch.arange(height)
    assert torch.equal(of_x > 0, rows < rows[1:, None])
    assert torch.equal(of_mel > 0, (rows <= rows[1:, None]) & (rows > 0))


def test_inverse_is_differentiable():
    flow, context = row_flow(4, [1, 1], 3), conditioning(2, 4, 3)
    z = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: flow.inverse(z, context), z)


def test_recompute():
    """The same numbers and gradients, of the context too."""
    results = []
    for recompute in (False, True):
        flow = row_flow(5, [1, 2], 3)
        flow.recompute = recompute
        context = conditioning(3, 5, 4, torch.tensor([20, 11, 3]))
        mel = context.mel.clone().requires_grad_()
        x = torch.linspace(-1, 1, 60, dtype=torch.float64).view(3, 5, 4).mul(context.valid[:, flow.order])
        x.requires_grad_()
        z, ladj = flow(x, Conditioning(mel, context.valid))
        inputs = [x, mel, *flow.parameters()]
        results.append([z, ladj, *torch.autograd.grad(z.square().sum() - ladj.sum(), inputs)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_recompute_under_autocast():
    results = []
    for recompute in (False, True):
        flow = row_flow(5, [1, 2], 3).float()
        flow.recompute = recompute
        context = Conditioning(conditioning(2, 5, 4).mel.float())
        x = torch.linspace(-1, 1, 40).view(2, 5, 4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z, ladj = flow(x, context)
        assert z.dtype == ladj.dtype == torch.float32
        results.append([z, ladj, *torch.autograd.grad(z.square().sum() - ladj.sum(), list(flow.parameters()))])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_bad_input():
    flow = row_flow(4, [1, 1])
    good = conditioning(1, 4, 3)
    x = torch.zeros(1, 4, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="needs a Conditioning as context, got NoneType"):
        flow(x, None)
    with pytest.raises(ValueError, match=r"squeezed to \(B, 4, width\), got \(1, 5, 3\)"):
        flow(torch.zeros(1, 5, 3), good)
    with pytest.raises(ValueError, match=r"conditioner of \(4, 2\), got \(4, 3\)"):
        flow(x[..., :2], good)
    with pytest.raises(ValueError, match=f"of {BANDS} bands, got 1"):
        flow(x, Conditioning(good.mel[:, :1]))
    with pytest.raises(ValueError, match="height of at least 2, got 1"):
        type(flow)(flow.net, torch.arange(1))

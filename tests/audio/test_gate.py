"""The gate, its gradient, and the convolution under it, against plain torch."""

import pytest
import torch
import torch.nn.functional as F

from flowsuite.audio.dilated_conv import dilated_conv2d
from flowsuite.audio.gate import gate


def plain(a):
    first, second = a.chunk(2, dim=1)
    return first.tanh() * second.sigmoid()


@pytest.mark.parametrize("shape", [(2, 6), (1, 2, 5), (2, 4, 3, 5)])
def test_gate(shape):
    a = (3 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    kept = a.detach().clone()
    torch.testing.assert_close(gate(a), plain(a), rtol=1e-13, atol=1e-13)
    with torch.no_grad():
        torch.testing.assert_close(gate(a), plain(a), rtol=1e-13, atol=1e-13)
    assert torch.equal(a, kept), "the argument was written to"
    assert torch.autograd.gradcheck(gate, a)


def test_gate_saturates():
    a = torch.tensor([[1e4, -1e4, 0.0, 1e4, -1e4, 0.0]], requires_grad=True)
    out = gate(a)
    out.sum().backward()
    torch.testing.assert_close(out, torch.tensor([[1.0, 0.0, 0.0]]))
    assert a.grad.isfinite().all()


CONVOLUTIONS = [((1, 1), (5, 6)), ((2, 1), (6, 7)), ((3, 4), (7, 11)), ((1, 8), (3, 17))]


@pytest.mark.parametrize("dilation, size", CONVOLUTIONS)
@pytest.mark.parametrize("batch, channels, out", [(1, 1, 2), (2, 3, 5)])
def test_convolution(dilation, size, batch, channels, out):
    x = torch.randn(batch, channels, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(out, channels, 3, 3, dtype=torch.float64, requires_grad=True)
    ours = dilated_conv2d(x, weight, dilation)
    torch.testing.assert_close(ours, F.conv2d(x, weight, dilation=dilation), rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(ours)
    grads = [
        torch.autograd.grad(f(x, weight, dilation=dilation), (x, weight), direction) for f in (dilated_conv2d, F.conv2d)
    ]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
    assert torch.autograd.gradcheck(lambda x, w: dilated_conv2d(x, w, dilation), (x, weight), fast_mode=True)


@pytest.mark.parametrize("which", [0, 1])
def test_convolution_with_one_gradient(which):
    x, weight = torch.randn(2, 3, 5, 6), torch.randn(4, 3, 3, 3)
    wanted = (x, weight)[which].requires_grad_()
    dilated_conv2d(x, weight, (1, 2)).square().sum().backward()
    ours, wanted.grad = wanted.grad, None
    F.conv2d(x, weight, dilation=(1, 2)).square().sum().backward()
    torch.testing.assert_close(ours, wanted.grad, rtol=1e-4, atol=1e-4)


def test_convolution_under_autocast():
    x = torch.randn(2, 8, 6, 9, requires_grad=True)
    weight = (torch.randn(4, 8, 3, 3) / 8).requires_grad_()
    exact = torch.autograd.grad(F.conv2d(x, weight, dilation=(2, 3)).square().sum(), (x, weight))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = dilated_conv2d(x, weight, (2, 3))
        assert y.dtype == torch.bfloat16
    low = torch.autograd.grad(y.float().square().sum(), (x, weight))
    for a, b in zip(low, exact, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 0.02 * b.norm()


def test_gate_under_autocast():
    a = torch.randn(2, 8, 5)
    low = a.bfloat16().requires_grad_()
    assert gate(low).dtype == torch.bfloat16
    gate(low).sum().backward()
    a.requires_grad_()
    plain(a).sum().backward()
    torch.testing.assert_close(low.grad.float(), a.grad, rtol=0.05, atol=0.02)

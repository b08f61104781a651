"""The convolution over rows of channels, and its gradients, against torch's."""

import pytest
import torch
import torch.nn.functional as F

from flowsuite.audio.row_conv import _library_conv, row_conv


def plain(x, kernel, dilation):
    """By the definition: zeros above and beside the image, then torch's convolution."""
    over_rows, over_columns = dilation
    image = F.pad(x.transpose(1, 2), (over_columns, over_columns, 2 * over_rows, 0))
    return F.conv2d(image, kernel, dilation=dilation).transpose(1, 2)


CASES = [
    ((1, 1), (3, 4)),
    ((1, 1), (1, 1)),
    ((1, 2), (1, 3)),
    ((2, 1), (3, 1)),
    ((2, 1), (4, 5)),
    ((3, 4), (7, 11)),
    ((5, 2), (3, 3)),
    ((1, 8), (2, 3)),
]


@pytest.mark.parametrize("dilation, size", CASES)
@pytest.mark.parametrize("batch, channels, out", [(1, 1, 2), (2, 3, 5)])
def test_against_torch(dilation, size, batch, channels, out):
    x = torch.randn(batch, size[0], channels, size[1], dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(out, channels, 3, 3, dtype=torch.float64, requires_grad=True)
    expected = plain(x, kernel, dilation)
    direction = torch.randn_like(expected)
    grads = torch.autograd.grad(expected, (x, kernel), direction)
    for function in (row_conv, _library_conv):
        ours = function(x, kernel, dilation)
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
        for a, b in zip(torch.autograd.grad(ours, (x, kernel), direction), grads, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
    with torch.no_grad():
        torch.testing.assert_close(row_conv(x, kernel, dilation), expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x, k: row_conv(x, k, dilation), (x, kernel), fast_mode=True)


def test_memory_in_any_order():
    """Views that are not contiguous, as permuted images are."""
    kernel = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    for x in (torch.randn(2, 3, 5, 6).transpose(1, 2), torch.randn(2, 5, 6, 3).mT, torch.randn(2, 9, 3, 6)[:, ::2]):
        x = x.double()
        torch.testing.assert_close(row_conv(x, kernel, (1, 2)), plain(x, kernel, (1, 2)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("which", [0, 1])
def test_one_gradient(which):
    x, kernel = torch.randn(2, 5, 3, 6), torch.randn(4, 3, 3, 3)
    wanted = (x, kernel)[which].requires_grad_()
    results = [torch.autograd.grad(f(x, kernel, (2, 1)).square().sum(), wanted)[0] for f in (row_conv, plain)]
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-3)


def test_autocast():
    x = torch.randn(4, 6, 8, 9, requires_grad=True)
    kernel = (torch.randn(4, 8, 3, 3) / 8).requires_grad_()
    exact = torch.autograd.grad(plain(x, kernel, (2, 3)).square().sum(), (x, kernel))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = row_conv(x, kernel, (2, 3))
        assert y.dtype == torch.bfloat16
    low = torch.autograd.grad(y.float().square().sum(), (x, kernel))
    for a, b in zip(low, exact, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 0.02 * b.norm()

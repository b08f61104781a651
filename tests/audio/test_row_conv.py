"""The convolution over rows and its gradients against a padded library convolution."""

import pytest
import torch
import torch.nn.functional as F

from flowsuite.audio.row_conv import _library_conv, row_conv


def plain(x, kernel, dilation):
    over_rows, over_columns = dilation
    image = F.pad(x.transpose(1, 2), (over_columns, over_columns, 2 * over_rows, 0))
    return F.conv2d(image, kernel, dilation=dilation).transpose(1, 2)


def random_rows(batch, channels, rows, width, strided=False, dtype=torch.float64):
    """(B, R, C, W), with `strided` not contiguous in memory."""
    x = torch.randn(batch, rows, channels, width, dtype=dtype)
    return (x.permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0) if strided else x).requires_grad_()


SHAPES = [((1, 1), (5, 6)), ((2, 1), (6, 7)), ((3, 4), (7, 11)), ((1, 8), (3, 5)), ((4, 2), (1, 3)), ((16, 1), (15, 2))]
SHAPES += [((1, 1), (1, 1)), ((1, 2), (3, 1)), ((2, 1), (3, 1))]  # where memory layouts cannot be told apart


@pytest.mark.parametrize("dilation, size", SHAPES)
@pytest.mark.parametrize("batch, channels, out, strided", [(1, 1, 2, False), (2, 3, 5, False), (2, 3, 4, True)])
def test_convolution(dilation, size, batch, channels, out, strided):
    x = random_rows(batch, channels, *size, strided)
    kernel = torch.randn(out, channels, 3, 3, dtype=torch.float64, requires_grad=True)
    ours = row_conv(x, kernel, dilation)
    torch.testing.assert_close(ours, plain(x, kernel, dilation), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(_library_conv(x, kernel, dilation), ours, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(ours)
    grads = [torch.autograd.grad(f(x, kernel, dilation), (x, kernel), direction) for f in (row_conv, plain)]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
    assert torch.autograd.gradcheck(lambda x, w: row_conv(x, w, dilation), (x, kernel), fast_mode=True)


@pytest.mark.parametrize("which", [0, 1])
def test_one_gradient(which):
    x, kernel = torch.randn(2, 5, 3, 6), torch.randn(4, 3, 3, 3)
    wanted = (x, kernel)[which].requires_grad_()
    row_conv(x, kernel, (1, 2)).square().sum().backward()
    ours, wanted.grad = wanted.grad, None
    plain(x, kernel, (1, 2)).square().sum().backward()
    torch.testing.assert_close(ours, wanted.grad, rtol=1e-4, atol=1e-4)


def test_autocast():
    x, kernel = random_rows(2, 8, 6, 9, dtype=torch.float32), (torch.randn(4, 8, 3, 3) / 8).requires_grad_()
    exact = torch.autograd.grad(plain(x, kernel, (2, 3)).square().sum(), (x, kernel))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = row_conv(x, kernel, (2, 3))
        assert y.dtype == torch.bfloat16
    low = torch.autograd.grad(y.float().square().sum(), (x, kernel))
    for a, b in zip(low, exact, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 0.02 * b.norm()

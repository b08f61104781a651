"""Transforms of torch.func over the operations with a backward pass of their own."""

import torch
from torch.func import grad, jvp, vmap

from flowsuite.audio.gate import gate
from flowsuite.audio.row_conv import row_conv

CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def check(function, *inputs):
    inputs = [x.requires_grad_() for x in inputs]
    expected = torch.autograd.grad(function(*inputs).square().sum(), inputs)
    plain = [x.detach() for x in inputs]
    found = grad(lambda *a: function(*a).square().sum(), argnums=tuple(range(len(inputs))))(*plain)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)
    tangent = jvp(lambda x: function(x, *plain[1:]).square().sum(), (plain[0],), (torch.ones_like(plain[0]),))[1]
    torch.testing.assert_close(tangent, expected[0].sum(), **CLOSE)


def test_gate():
    a = torch.randn(2, 6, 5, dtype=torch.float64)
    check(gate, a)
    torch.testing.assert_close(vmap(gate)(a), gate(a), **CLOSE)


def test_row_conv():
    x, kernel = torch.randn(2, 4, 3, 7, dtype=torch.float64), torch.randn(5, 3, 3, 3, dtype=torch.float64)
    check(lambda x, kernel: row_conv(x, kernel, (1, 2)), x, kernel)

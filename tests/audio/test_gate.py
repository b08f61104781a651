"""The gate and its gradient against plain torch."""

import pytest
import torch

from flowsuite.audio.gate import gate


def plain(a):
    first, second = a.chunk(2, dim=-2)
    return first.tanh() * second.sigmoid()


@pytest.mark.parametrize("shape", [(6, 2), (1, 2, 5), (2, 3, 4, 5)])
def test_gate(shape):
    a = (3 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    kept = a.detach().clone()
    torch.testing.assert_close(gate(a), plain(a), rtol=1e-13, atol=1e-13)
    with torch.no_grad():
        torch.testing.assert_close(gate(a), plain(a), rtol=1e-13, atol=1e-13)
    assert torch.equal(a, kept), "the argument was written to"
    assert torch.autograd.gradcheck(gate, a)


def test_gate_saturates():
    a = torch.tensor([[1e4], [-1e4], [0.0], [1e4], [-1e4], [0.0]], requires_grad=True)
    out = gate(a)
    out.sum().backward()
    torch.testing.assert_close(out, torch.tensor([[1.0], [0.0], [0.0]]))
    assert a.grad.isfinite().all()


def test_gate_under_autocast():
    a = torch.randn(2, 8, 5)
    low = a.bfloat16().requires_grad_()
    assert gate(low).dtype == torch.bfloat16
    gate(low).sum().backward()
    a.requires_grad_()
    plain(a).sum().backward()
    torch.testing.assert_close(low.grad.float(), a.grad, rtol=0.05, atol=0.02)

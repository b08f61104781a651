"""Transforms of torch.func over our layers: what autograd gives, or one line that says what to take instead."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, vmap

from flowsuite.core.ffjord import FFJORD
from flowsuite.core.flow import Flow
from flowsuite.core.ode import Adaptive, FixedGrid
from flowsuite.core.transform import Compose

CLOSE = {"rtol": 1e-9, "atol": 1e-11}


def tiny_glow(**options) -> Flow:
    """Glow in float64 on floats, without dequantisation, whose noise would differ from call to call."""
    from flowsuite.images import Glow

    torch.manual_seed(0)
    glow = Glow((3, 4, 4), levels=2, steps=2, width=6, **options)
    with torch.no_grad():  # away from the zeros at which the last convolutions start
        for parameter in glow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return Flow(Compose([*glow.transform[1:]]), glow.base).double()


def fixed_ffjord() -> Flow:
    torch.manual_seed(0)
    return FFJORD(3, hidden=(8,), divergence="exact", solver=FixedGrid("rk4", steps=2)).double()


FLOWS = {"glow": (tiny_glow, (3, 4, 4)), "glow, lu": (lambda: tiny_glow(permutation="conv1x1_lu"), (3, 4, 4))}


def example(shape: tuple[int, ...], number: int = 3) -> torch.Tensor:
    return torch.randn(number, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def gradient(flow: Flow, x: torch.Tensor, create_graph: bool = False) -> torch.Tensor:
    x = x if x.requires_grad else x.detach().requires_grad_()
    return torch.autograd.grad(flow.log_prob(x).sum(), x, create_graph=create_graph)[0]


@pytest.mark.parametrize("name", FLOWS)
def test_derivatives_equal_those_of_autograd(name):
    make, shape = FLOWS[name]
    flow, x = make(), example(shape)
    expected = gradient(flow, x)

    def one(x):
        return flow.log_prob(x.unsqueeze(0))[0]

    torch.testing.assert_close(vmap(one)(x), flow.log_prob(x), **CLOSE)
    torch.testing.assert_close(vmap(grad(one))(x), expected, **CLOSE)
    for jacobian in (jacrev, jacfwd):
        full = jacobian(flow.log_prob)(x)
        torch.testing.assert_close(full[range(3), range(3)], expected, **CLOSE)
        assert (full[0, 1:] == 0).all()


@pytest.mark.parametrize("name", FLOWS)
def test_products_with_the_hessian(name):
    make, shape = FLOWS[name]
    flow, (x, v) = make(), example(shape, 2)

    def one(x):
        return flow.log_prob(x.unsqueeze(0))[0]

    point = x.unsqueeze(0).requires_grad_()
    expected = torch.autograd.grad((gradient(flow, point, create_graph=True)[0] * v).sum(), point)[0][0]
    torch.testing.assert_close(jvp(grad(one), (x,), (v,))[1], expected, **CLOSE)
    torch.testing.assert_close(grad(lambda y: (grad(one)(y) * v).sum())(x), expected, **CLOSE)


def test_the_gradient_of_parameters():
    flow, x = tiny_glow(), example((3, 4, 4))
    parameters = dict(flow.named_parameters())
    found = grad(lambda p: functional_call(flow, p, (x,)).sum())(parameters)
    flow.log_prob(x).sum().backward()
    for key, parameter in parameters.items():
        torch.testing.assert_close(found[key], parameter.grad, **CLOSE)


@pytest.mark.parametrize(
    ("make", "shape", "instead"),
    [
        (lambda: tiny_glow(reversible=True).transform, (3, 4, 4), "reversible=False"),
        (lambda: FFJORD(3, hidden=(8,), solver=Adaptive()).double(), (3,), "FixedGrid"),
    ],
)
def test_what_does_not_work_says_so(make, shape, instead):
    layer = make()
    with pytest.raises(NotImplementedError, match=f"inside transforms of torch.func: .*{instead}") as caught:
        grad(lambda x: layer(x)[0].sum())(example(shape))
    assert "\n" not in str(caught.value)


def test_a_solve_on_a_grid():
    flow, x = fixed_ffjord(), example((3,))
    torch.testing.assert_close(grad(lambda x: flow.log_prob(x).sum())(x), gradient(flow, x), **CLOSE)

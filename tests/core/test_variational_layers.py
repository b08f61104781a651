"""Layers of variational posteriors: what the property suite does not ask."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from flowsuite.core.layers.planar import Planar, constrained
from flowsuite.core.layers.radial import Radial, inner_radius
from flowsuite.core.layers.sylvester import Sylvester, orthonormal
from flowsuite.core.layers.tanh_root import sech2, solve_tanh

DOUBLE = torch.float64


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_root_where_it_is_hard(dtype):
    eps = torch.finfo(dtype).eps
    m = torch.tensor([-1 + 8 * eps, -0.999, -0.5, 0.0, 1e-3, 1.0, 50.0, 1e6], dtype=dtype)[:, None]
    size = torch.tensor([0.0, 1e-30, 1e-9, 1e-3, 0.3, 1.0, 2.0, 30.0, 1e4], dtype=dtype)
    s = torch.cat([-size.flip(0), size])
    t = solve_tanh(m, s)
    residual = t + m * torch.tanh(t) - s
    scale = torch.maximum(s.abs(), t.abs() * (1 + m.abs())).clamp_min(torch.finfo(dtype).tiny)
    assert (residual.abs() <= 16 * eps * scale).all()
    assert (t[:, 1:] >= t[:, :-1]).all()


def test_gradients_of_the_root():
    torch.manual_seed(0)
    m = (torch.rand(7, dtype=DOUBLE) * 4 - 0.95).requires_grad_()
    s = (3 * torch.randn(7, dtype=DOUBLE)).requires_grad_()
    assert gradcheck(solve_tanh, (m, s))


def test_nan_stays_nan_and_ends():
    t = solve_tanh(torch.tensor([0.5, float("nan")]), torch.tensor([float("nan"), 1.0]))
    assert t.isnan().all()


def test_sech2_does_not_overflow_or_cancel():
    t = torch.tensor([0.0, 10.0, -40.0, 200.0])
    expected = torch.cosh(t.double()) ** -2
    torch.testing.assert_close(sech2(t), expected.float(), rtol=1e-5, atol=0)


def test_constraint_divides_by_the_squared_norm():
    torch.manual_seed(0)
    u, w = torch.randn(2, 50, 3, dtype=DOUBLE) * 3
    moved, m = constrained(u, w)
    torch.testing.assert_close((moved * w).sum(-1), m)
    torch.testing.assert_close(m, torch.nn.functional.softplus((u * w).sum(-1)) - 1)
    across = (moved - u) - ((moved - u) * w).sum(-1, keepdim=True) * w / w.square().sum(-1, keepdim=True)
    assert across.abs().max() < 1e-12


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
def test_planar_at_the_edge_of_invertibility(activation):
    """w.u far below -1: u^ sits at the constraint; in float32 the log-det stays finite and the way back exists."""
    layer = Planar(2, 1, activation)
    with torch.no_grad():
        layer.w.copy_(torch.tensor([[3.0, 0.0]]))
        layer.u.copy_(torch.tensor([[-30.0, 1.0]]))
    z = torch.stack([torch.linspace(-2, 2, 41), torch.zeros(41)], 1)
    y, ladj = layer(z)
    back, _ = layer.inverse(y)
    assert ladj.isfinite().all()
    # The leaky ReLU squeezes a whole half-space to 1e-6 of its width: so many digits are gone.
    torch.testing.assert_close(layer(back)[0], y, rtol=0, atol=1e-5 if activation == "tanh" else 1e-3)
    assert (y[1:, 0] >= y[:-1, 0]).all()


def test_radial_root_when_the_layer_nearly_collapses_a_ball():
    alpha, beta = torch.tensor(1.0), torch.tensor(-1 + 1e-6)
    r = torch.logspace(-8, 3, 200)
    outer = r * (1e-6 + r) / (1 + r)
    torch.testing.assert_close(inner_radius(alpha, beta, outer), r, rtol=1e-3, atol=1e-6)


def test_orthonormal_keeps_orthonormal_and_makes_the_rest():
    torch.manual_seed(0)
    q = orthonormal(torch.randn(4, 6, 3, dtype=DOUBLE))
    torch.testing.assert_close(q.mT @ q, torch.eye(3, dtype=DOUBLE).expand(4, 3, 3))
    torch.testing.assert_close(orthonormal(q), q)
    torch.testing.assert_close(orthonormal(-q), -q)


@pytest.mark.parametrize(
    "layer",
    [Planar(3, 4), Radial(3, 4), Sylvester(3, 2), Sylvester(3, 3, "householder"), Sylvester(3, 3, "triangular")],
)
def test_a_stack_is_its_layers_one_after_another(layer):
    torch.manual_seed(0)
    layer = layer.double()
    z = torch.randn(5, 3, dtype=DOUBLE)
    together, ladj = layer(z)
    total = torch.zeros(5, dtype=DOUBLE)
    params = layer.params(None, 5)
    for k in range(layer.n_layers):
        if isinstance(layer, Sylvester) and layer.kind == "triangular" and k % 2:
            z = z.flip(-1)
        single = {name: value[:, k : k + 1] for name, value in params.items()}
        one = layer.__class__(3, 1, layer.kind) if isinstance(layer, Sylvester) else layer.__class__(3, 1)
        z, part = one.push(z, **single)
        total = total + part
        if isinstance(layer, Sylvester) and layer.kind == "triangular" and k % 2:
            z = z.flip(-1)
    torch.testing.assert_close(z, together)
    torch.testing.assert_close(total, ladj)


@pytest.mark.parametrize("make", [Planar, Radial, Sylvester])
def test_several_samples_share_the_parameters_of_an_example(make):
    torch.manual_seed(0)
    layer = make(3, 2, context_features=4).double()
    context, z = torch.randn(5, 4, dtype=DOUBLE), torch.randn(7, 5, 3, dtype=DOUBLE)
    out, ladj = layer.push(z, **layer.params(context, 5))
    assert ladj.shape == (7, 5)
    for i in range(7):
        expected = layer(z[i], context)
        torch.testing.assert_close(out[i], expected[0])
        torch.testing.assert_close(ladj[i], expected[1])
    back, back_ladj = layer.pull(out, **layer.params(context, 5))
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(back_ladj, -ladj)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Planar(2, 0), "n_layers"),
        (lambda: Planar(2, 1, "relu"), "activation"),
        (lambda: Planar(2, 1, "leaky_relu", 1.5), "negative_slope"),
        (lambda: Radial(0), "dims"),
        (lambda: Sylvester(4, 1, "cayley"), "kind"),
        (lambda: Sylvester(4, 1, columns=5), "columns"),
        (lambda: Sylvester(4, 1, "householder", columns=2), "columns"),
        (lambda: Planar(3)(torch.zeros(2, 4)), r"\(N, 3\)"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()

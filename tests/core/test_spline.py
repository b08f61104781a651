"""Rational-quadratic splines: edges, extremes, precision."""

import pytest
import torch

from flowsuite.core.layers.spline import RationalQuadraticSpline


def test_zero_parameters_give_the_identity_if_asked():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    for num_bins in (1, 4, 9):
        spline = RationalQuadraticSpline(num_bins, tail_bound=2.5, identity_at_zero=True)
        y, log_derivative = spline(x, torch.zeros(101, spline.n_params, dtype=x.dtype))
        torch.testing.assert_close(y, x, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(log_derivative, torch.zeros_like(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread", [0.5, 3.0, 30.0])
def test_maps_the_interval_onto_itself_monotonically(dtype, spread):
    torch.manual_seed(0)
    spline = RationalQuadraticSpline(8, tail_bound=3.0)
    x = torch.linspace(-4, 4, 2001, dtype=dtype)
    params = (spread * torch.randn(50, 1, spline.n_params, dtype=dtype)).expand(50, 2001, -1)
    y, log_derivative = spline(x.expand(50, -1), params)
    assert y.isfinite().all() and log_derivative.isfinite().all()
    inside = x.abs() <= 3
    assert torch.equal(y[:, ~inside], x[~inside].expand(50, -1)) and not log_derivative[:, ~inside].any()
    slack = 50 * torch.finfo(dtype).eps
    assert (y.diff(dim=1) >= -slack).all() and (y[:, inside].abs() <= 3 + slack).all()


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_float32_inverse_hits_its_target(spread):
    """Where the spline is flat x is ill-determined; the residual in y must be what the rounding of x explains."""
    torch.manual_seed(0)
    spline = RationalQuadraticSpline(8, tail_bound=3.0)
    params, y = spread * torch.randn(20000, spline.n_params), 8 * torch.rand(20000) - 4
    x, log_derivative = spline.inverse(y, params)
    assert log_derivative.isfinite().all()
    slope = (-log_derivative).exp()
    assert ((spline(x, params)[0] - y).abs() <= 2e-6 * (1 + slope)).all()


def test_knots_and_edges_in_both_directions():
    torch.manual_seed(0)
    spline = RationalQuadraticSpline(5, tail_bound=2.0)
    params = torch.randn(spline.n_params, dtype=torch.float64)
    xs, ys = spline._knots(params[:5], 1e-3), spline._knots(params[5:10], 1e-3)
    assert xs[0] == ys[0] == -2 and xs[-1] == ys[-1] == 2
    torch.testing.assert_close(spline(xs, params.expand(6, -1))[0], ys, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(spline.inverse(ys, params.expand(6, -1))[0], xs, rtol=1e-12, atol=1e-12)


def test_derivative_is_continuous_at_the_tails():
    spline = RationalQuadraticSpline(5, tail_bound=2.0)
    params = torch.randn(4, spline.n_params, dtype=torch.float64)
    edge = torch.tensor([-2.0, 2.0, -2.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(spline(edge, params)[1], torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)


def test_gradients_are_finite_everywhere():
    spline = RationalQuadraticSpline(6, tail_bound=3.0)
    x = torch.tensor([-1e30, -3.0, -2.999999, 0.0, 3.0, 1e30], requires_grad=True)
    params = (10 * torch.randn(6, spline.n_params)).requires_grad_()
    for direction in (spline, spline.inverse):
        y, log_derivative = direction(x, params)
        for gradient in torch.autograd.grad(y.sum() + log_derivative.sum(), (x, params)):
            assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_bins": 0}, "num_bins"),
        ({"tail_bound": 0.0}, "tail_bound"),
        ({"num_bins": 10, "min_bin_width": 0.1}, "min_bin_width"),
        ({"min_bin_height": 0.0}, "min_bin_height"),
        ({"min_derivative": 1.0}, "min_derivative"),
        ({"logit_divisor": -1.0}, "logit_divisor"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        RationalQuadraticSpline(**options)


def test_wrong_number_of_parameters_is_named():
    with pytest.raises(ValueError, match="needs 23 parameters an element, got 24"):
        RationalQuadraticSpline(8)(torch.zeros(3), torch.zeros(3, 24))

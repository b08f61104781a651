"""nflows' rational-quadratic spline with linear tails, element by element."""

import pytest
import torch

from flowsuite.images.reference import from_reference

pytestmark = pytest.mark.reference_kind("rq-spline")
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def spline_flow(case):
    return from_reference("rq-spline", {**case.param, **case.input}, case.config)


def test_both_directions(reference_case):
    flow, expected = spline_flow(reference_case), reference_case.output
    x = reference_case.input["x"]
    with torch.no_grad():
        y, ladj = flow.transform(x[None])
        torch.testing.assert_close(y[0], expected["y"], **TOLERANCE)
        torch.testing.assert_close(ladj[0], expected["logdet"].sum(), **TOLERANCE)
        back, inverse_ladj = flow.transform.inverse(expected["y"][None])
        torch.testing.assert_close(back[0], expected["x_inverse"], **TOLERANCE)
        torch.testing.assert_close(inverse_ladj[0], expected["inverse_logdet"].sum(), **TOLERANCE)


def test_log_derivative_of_every_element(reference_case):
    transform, expected = spline_flow(reference_case).transform, reference_case.output
    with torch.no_grad():
        _, log_derivative = transform.map(reference_case.input["x"], transform.params)
        torch.testing.assert_close(log_derivative, expected["logdet"], **TOLERANCE)
        _, log_derivative = transform.map.inverse(expected["y"], transform.params)
        torch.testing.assert_close(log_derivative, expected["inverse_logdet"], **TOLERANCE)

"""torchcfm's training targets, value for value."""

import pytest
import torch

from flowsuite.core.pairing import optimal_assignment
from flowsuite.core.probability_paths import ProbabilityPath

pytestmark = pytest.mark.reference_kind("flow-matching-targets")
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}


@pytest.mark.parametrize(
    ("theirs", "ours", "noise"),
    [("icfm", "linear", "x0"), ("target_ot", "target", "eps"), ("vp", "trigonometric", "x0")],
)
def test_points_and_velocities(reference_case, theirs, ours, noise):
    given, expected = reference_case.input, reference_case.output
    path = ProbabilityPath(ours, reference_case.config["config"]["sigma"])
    x, u = path(given[noise], given["x1"], given["t"], jitter=given["eps"])
    torch.testing.assert_close(x, expected[f"{theirs}/xt"], **TOLERANCE)
    torch.testing.assert_close(u, expected[f"{theirs}/ut"], **TOLERANCE)


def test_pairing(reference_case):
    given, expected = reference_case.input, reference_case.output
    order = optimal_assignment(given["x0"], given["x1"])
    assert torch.equal(expected["ot/x0"], given["x0"])
    assert torch.equal(given["x1"][order], expected["ot/x1_paired"])

"""The posterior flow of every kind: its two ways of scoring, contexts, bad arguments."""

from __future__ import annotations

import pytest
import torch

from flowsuite.core.variational import KINDS, Posterior
from flowsuite.core.variational.quadrature import evaluate, grid

DOUBLE = torch.float64


def make(kind, dims=2, **options):
    torch.manual_seed(0)
    small = {"hidden_features": 16} if kind in ("iaf", "nice", "affine", "spline") else {}
    if kind == "cnf":
        small = {"hidden": (6,), "rank": 2, "eval_tolerance": 1e-11}
    flow = Posterior(dims, kind, 3, options=small, **options).double().eval()
    with torch.no_grad():
        for p in flow.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return flow


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dims", [1, 2, 5])
def test_density_of_samples_is_the_density_of_points(kind, dims):
    if kind in ("nice", "affine") and dims == 1:
        with pytest.raises(ValueError, match="at least 2 dimensions"):
            make(kind, dims)
        return
    flow = make(kind, dims)
    z, log_q = flow.rsample_and_log_prob(9)
    assert z.shape == (9, dims) and z.requires_grad and log_q.shape == (9,)
    torch.testing.assert_close(flow.log_prob(z), log_q, rtol=1e-8, atol=1e-8)
    assert flow.sample(4).shape == flow.rsample(4).shape == (4, dims)


@pytest.mark.parametrize("kind", KINDS)
def test_density_integrates_to_one(kind):
    flow = make(kind)
    points, area = grid((-12, 12, -12, 12), 0.1)
    assert abs(float(evaluate(flow.log_prob, points).exp().sum()) * area - 1) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_a_context(kind):
    flow, context = make(kind, 3, context_features=2), torch.randn(4, 2, dtype=DOUBLE)
    z, log_q = flow.rsample_and_log_prob(6, context)
    assert z.shape == (6, 4, 3) and log_q.shape == (6, 4)
    for i in range(6):
        torch.testing.assert_close(flow.log_prob(z[i], context), log_q[i], rtol=1e-8, atol=1e-8)
    assert not torch.allclose(flow.log_prob(z[0], context + 1), log_q[0])


def test_a_generator_decides_the_samples():
    flow = make("planar")
    a, b = (flow.rsample(5, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "plane"}, "unknown kind of posterior 'plane'"),
        ({"kind": "planar", "options": {"columns": 2}}, "columns"),
        ({"kind": "gaussian", "gaussian": False}, "needs gaussian=True"),
        ({"kind": "planar", "n_layers": 0}, "n_layers"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Posterior(2, **arguments)
    with pytest.raises(ValueError, match="at least 1 sample"):
        make("planar").rsample(0)

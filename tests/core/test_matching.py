"""Flow matching: its targets, its agreement with the continuous layer, and what it refuses."""

from __future__ import annotations

import itertools

import pytest
import torch

from flowsuite.core.distributions import StandardNormal
from flowsuite.core.ffjord import FFJORD
from flowsuite.core.flow import Flow
from flowsuite.core.layers.batchnorm import MovingBatchNorm
from flowsuite.core.layers.continuous import CNF
from flowsuite.core.matching import FlowMatching, matching_loss, unmatched_parameters, velocity
from flowsuite.core.nets.mlp_field import MLPField
from flowsuite.core.nets.vector_field import VectorField
from flowsuite.core.ode import FixedGrid
from flowsuite.core.pairing import optimal_assignment, pair_noise
from flowsuite.core.probability_paths import PATHS, ProbabilityPath
from flowsuite.core.transform import Compose


@pytest.mark.parametrize("name", PATHS)
def test_velocity_is_the_derivative_of_the_path(name):
    torch.manual_seed(0)
    noise, data = torch.randn(2, 4, 3, 2).double()
    t = torch.rand(4).double()
    path = ProbabilityPath(name, 0.2 if name == "target" else 0.0)
    _, rate = torch.func.jvp(lambda s: path(noise, data, s)[0], (t,), (torch.ones_like(t),))
    torch.testing.assert_close(path(noise, data, t)[1], rate, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PATHS)
def test_path_runs_from_noise_to_data(name):
    noise, data = torch.randn(2, 4, 3)
    path = ProbabilityPath(name)
    torch.testing.assert_close(path(noise, data, torch.zeros(4))[0], noise)
    torch.testing.assert_close(path(noise, data, torch.ones(4))[0], data)


def test_target_path_has_no_pole_at_the_data():
    x, u = ProbabilityPath("target")(torch.randn(4, 2), torch.randn(4, 2), torch.ones(4))
    assert x.isfinite().all() and u.isfinite().all()


def test_assignment_is_the_best_of_all():
    torch.manual_seed(0)
    noise, data = torch.randn(2, 6, 3)
    best = min(itertools.permutations(range(6)), key=lambda p: (noise - data[list(p)]).square().sum().item())
    assert optimal_assignment(noise, data).tolist() == list(best)
    paired = pair_noise(noise, data, "optimal")
    assert (paired - data).square().sum() == pytest.approx((noise - data[list(best)]).square().sum().item(), rel=1e-6)
    assert torch.equal(pair_noise(noise, data, "independent"), noise)


class Straight(VectorField):
    """The exact field of a path between two points, written in the convention of the CNF."""

    def __init__(self, noise, data, end_time):
        super().__init__()
        self.slope = (noise - data) / end_time

    def forward(self, t, x, condition=None):
        return self.slope.expand_as(x)


@pytest.mark.parametrize("end_time", [0.5, 3.0])
def test_the_field_that_matches_perfectly_carries_data_to_noise(end_time):
    torch.manual_seed(0)
    noise, data = torch.randn(2, 5, 2).double()
    cnf = CNF(Straight(noise, data, end_time), end_time=end_time, solver=FixedGrid("euler", steps=3)).double()
    assert matching_loss(cnf, data, noise) < 1e-12
    torch.testing.assert_close(cnf(data)[0], noise, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(velocity(cnf, torch.rand(5).double(), data), data - noise, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("end_time", [0.5, 3.0])
def test_loss_of_clouds_by_hand(end_time):
    """One time per cloud, and the map of times, against single evaluations of the field."""
    torch.manual_seed(0)
    cnf = CNF(MLPField(3, (8, 8), context_features=2), end_time=end_time).double()
    noise, data = torch.randn(2, 4, 5, 3).double()
    context, tau = torch.randn(4, 2).double(), torch.rand(4).double()
    terms = []
    for b in range(4):
        x = tau[b] * data[b] + (1 - tau[b]) * noise[b]
        s = cnf.end_time * (1 - tau[b])
        f = cnf.field(s, x[None], cnf.field.condition(context[b : b + 1]))[0]
        terms.append((-cnf.end_time * f - (data[b] - noise[b])).square())
    loss = matching_loss(cnf, data, noise, context, tau=tau)
    torch.testing.assert_close(loss, torch.stack(terms).mean(), rtol=1e-10, atol=1e-10)


def test_gradient_reaches_the_field_and_the_context_only():
    cnf = CNF(MLPField(3, (8,), context_features=2), end_time=0.5)
    context = torch.randn(4, 2, requires_grad=True)
    matching_loss(cnf, torch.randn(4, 3), torch.randn(4, 3), context).backward()
    assert context.grad.abs().sum() > 0
    assert cnf.sqrt_end_time.grad is None
    assert all(p.grad is not None for p in cnf.field.parameters())
    assert [id(p) for p in unmatched_parameters(cnf)] == [id(cnf.sqrt_end_time)]


def test_layers_around_the_continuous_one():
    """Data is normalised by the batch norm before it, noise mapped back through the one after it."""
    torch.manual_seed(0)
    flow = FFJORD(2, (8,), batch_norm=True).double()
    first, cnf, last = flow.transform
    with torch.no_grad():
        for norm in (first, last):
            norm.running_mean.normal_()
            norm.running_var.uniform_(1, 2)
    x, noise = torch.randn(2, 64, 2).double()
    kept = first.running_mean.clone(), last.running_mean.clone()
    expected_data = first.eval()(x)[0]
    expected_noise = last.eval().inverse(noise)[0]
    flow.train()
    torch.manual_seed(5)
    loss = FlowMatching().flow_loss(flow, x, noise=noise)
    torch.manual_seed(5)
    torch.testing.assert_close(loss, matching_loss(cnf, expected_data, expected_noise), rtol=1e-10, atol=1e-10)
    assert not torch.equal(first.running_mean, kept[0]) and torch.equal(last.running_mean, kept[1])
    assert last.training


def test_matching_recovers_a_gaussian():
    """A few hundred steps on N(m, s^2): the exact likelihood approaches the entropy."""
    torch.manual_seed(0)
    flow = Flow(CNF(MLPField(1, (32, 32))), StandardNormal(1))
    optimizer = torch.optim.Adam(flow.transform.field.parameters(), lr=5e-3)
    matching = FlowMatching()
    for _ in range(400):
        loss = matching.flow_loss(flow, 1.5 + 0.5 * torch.randn(256, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    flow.eval()
    x = 1.5 + 0.5 * torch.randn(2000, 1)
    truth = torch.distributions.Normal(1.5, 0.5).log_prob(x).mean()
    with torch.no_grad():
        assert truth - flow.log_prob(x).mean() < 0.03


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ProbabilityPath("straight"), "unknown path 'straight'"),
        (lambda: ProbabilityPath(sigma=-1.0), "sigma must be at least 0"),
        (lambda: FlowMatching(path="x"), "unknown path 'x'"),
        (lambda: FlowMatching(pairing="best"), "unknown pairing 'best'"),
        (lambda: optimal_assignment(torch.zeros(3, 2), torch.zeros(2, 2)), "expected noise and data of one shape"),
        (lambda: optimal_assignment(torch.zeros(2, 2), torch.full((2, 2), float("nan"))), "finite noise and data"),
        (lambda: FlowMatching().flow_loss(FFJORD(2, (4,), num_blocks=2), torch.zeros(4, 2)), "exactly one .* got 2"),
        (
            lambda: FlowMatching().flow_loss(Flow(Compose([MovingBatchNorm(2)]), StandardNormal(2)), torch.zeros(4, 2)),
            "exactly one .* got 0",
        ),
        (
            lambda: FlowMatching(pairing="optimal").flow_loss(
                FFJORD(2, (4,), context_features=1), torch.zeros(4, 2), torch.zeros(4, 1)
            ),
            "noise depend on the context",
        ),
        (lambda: ProbabilityPath()(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(2)), "times \\(B,\\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()

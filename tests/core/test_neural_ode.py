"""The flows of whole papers: Neural-ODE, and the amortised posterior of FFJORD-VAE."""

from __future__ import annotations

import math

import pytest
import torch

from flowsuite.core.amortized_ffjord import AmortizedFFJORD
from flowsuite.core.layers.continuous import record_solves
from flowsuite.core.neural_ode import NeuralODE
from flowsuite.core.ode import Adaptive, FixedGrid


def test_neural_ode_is_the_published_flow():
    """Its density is that of the field run from N(0, 0.1 I) at time 0 to data at time 10, each written out here."""
    torch.manual_seed(0)
    flow = NeuralODE(end_time=1.5, eval_solver=FixedGrid(steps=100)).double()
    x = torch.randn(6, 2).double()
    field = flow.transform[0].field
    with torch.no_grad():
        z, trace, h = x, torch.zeros(6).double(), torch.tensor(1.5 / 3000).double()
        for i in range(3000):  # the midpoint rule, from the data on
            middle = z + h / 2 * field(i * h, z)
            step, divergence = field.exact_divergence((i + 0.5) * h, middle)
            z, trace = z + h * step, trace + h * divergence
        expected = torch.distributions.Normal(0.0, math.sqrt(0.1)).log_prob(z).sum(1) + trace
        torch.testing.assert_close(flow.log_prob(x), expected, rtol=1e-5, atol=1e-5)


def test_neural_ode_has_the_published_settings():
    flow = NeuralODE()
    cnf, scale = flow.transform
    assert sum(p.numel() for p in cnf.field.parameters()) == 64 + 32 * 33 + 33 * 64 * 7
    assert cnf.end_time.item() == pytest.approx(10) and not cnf.sqrt_end_time.requires_grad
    assert scale.factor == pytest.approx(0.1**-0.5) and cnf.eval_solver == Adaptive()
    assert cnf.divergence == "exact"


def test_neural_ode_learns():
    torch.manual_seed(0)
    flow = NeuralODE(2, 16, 8, end_time=2.0, solver=FixedGrid("heun", steps=6))
    optimizer = torch.optim.Adam(flow.parameters(), lr=0.02)
    x = torch.randn(256, 2) * torch.tensor([1.5, 0.3]) + 1
    losses = []
    for _ in range(40):
        loss = -flow.log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1


def test_amortised_blocks_take_their_own_part_of_the_context():
    torch.manual_seed(0)
    flow = AmortizedFFJORD(3, (5,), rank=2, num_blocks=2, divergence="exact").double()
    assert flow.context_features == 2 * flow.transform[0].transform.field.context_features == 80
    z, context = torch.randn(4, 3).double(), torch.randn(4, 80).double()
    first = flow.transform[0].transform(z, context[:, :40])
    second = flow.transform[1].transform(first[0], context[:, 40:])
    with record_solves() as log:
        got = flow.transform(z, context)
    assert len(log.solutions) == 2
    torch.testing.assert_close(got[0], second[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got[1], first[1] + second[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("solver", [FixedGrid(steps=3), Adaptive()])
def test_amortised_parameters_get_gradients_without_being_solved_for(solver):
    torch.manual_seed(0)
    flow = AmortizedFFJORD(3, (5,), rank=2, num_blocks=1, divergence="exact", solver=solver).double()
    z, context = torch.randn(4, 3).double(), torch.randn(4, 40).double().requires_grad_()
    zk, ladj = flow.transform(z, context)
    (zk.square().sum() - ladj.sum()).backward()
    assert context.grad.isfinite().all() and context.grad.abs().sum(0).gt(0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NeuralODE(base_variance=0.0), "base_variance must be positive"),
        (lambda: AmortizedFFJORD(num_blocks=0), "num_blocks must be at least 1"),
        (
            lambda: AmortizedFFJORD(3, (5,), 2, 2).transform(torch.zeros(2, 3), torch.zeros(2, 3)),
            r"AmortizedFFJORD expected a context of shape \(2, 80\)",
        ),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

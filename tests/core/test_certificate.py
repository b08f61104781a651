"""The certificate tells tight figures from loose ones."""

from __future__ import annotations

import math

import pytest
import torch

from flowsuite.core.certificate import Certificate, Sweep, certify, certify_flow, override_solver
from flowsuite.core.distributions import StandardNormal
from flowsuite.core.ffjord import FFJORD
from flowsuite.core.flow import Flow
from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.ode import Adaptive, FixedGrid


def flow(eval_solver, eval_divergence="exact", scale=2.0):
    torch.manual_seed(0)
    made = FFJORD(3, (16, 16), 2, eval_solver=eval_solver, eval_divergence=eval_divergence).double().eval()
    with torch.no_grad():
        for p in made.parameters():
            p.mul_(scale)
    return made


def data(n=64):
    torch.manual_seed(1)
    return torch.randn(n, 3).double()


def test_fine_solvers_are_tight_and_coarse_ones_loose():
    fine = certify_flow(flow(Adaptive(rtol=1e-7, atol=1e-7)), data())
    coarse = certify_flow(flow(FixedGrid("euler", steps=2)), data())
    assert fine.is_tight(1e-4, 1e-4) and fine.solver_error < 1e-4 and fine.standard_error == 0
    assert not coarse.is_tight() and coarse.solver_error > 0.01
    assert coarse.round_trip > 10 * fine.round_trip


def test_solver_error_is_the_error():
    x, model = data(), flow(FixedGrid("heun", steps=4))
    certificate = certify_flow(model, x, factors=(64.0,))
    with torch.no_grad():
        with override_solver(model, lambda _: Adaptive(rtol=1e-10, atol=1e-10)):
            truth = model.log_prob(x)
        error = (model.log_prob(x) - truth).abs().mean().item()
    assert certificate.solver_error == pytest.approx(error, rel=0.01)
    assert [row.nfe for row in certificate.sweep] == [2 * 8, 2 * 8 * 64]
    assert model.transform[0].eval_solver == FixedGrid("heun", steps=4)


def test_standard_error_predicts_the_spread_of_the_mean():
    x, model = data(128), flow(FixedGrid(steps=4), "hutchinson")
    certificate = certify_flow(model, x, probes=16)
    torch.manual_seed(3)
    with torch.no_grad():
        means = torch.stack([model.log_prob(x).mean() for _ in range(60)])
    assert certificate.standard_error == pytest.approx(means.std().item(), rel=0.4)
    assert certificate.divergence == "hutchinson" and certificate.probes == 16
    assert not certificate.is_tight(certificate.standard_error)


def test_random_numbers_are_left_alone_and_probes_shared_by_the_sweep():
    model, x = flow(FixedGrid(steps=40), "rademacher"), data()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    certificate = certify_flow(model, x)
    assert torch.equal(torch.rand(3), expected)
    assert certificate.solver_error < 1e-5 < certificate.standard_error


def test_the_finest_row_is_not_bound_by_the_rounding_of_float32():
    """Tolerances far below float32's rounding: the reference is the exact figure, the error that of float32."""
    model, x = flow(Adaptive(rtol=1e-6, atol=1e-8)), data()
    with torch.no_grad(), override_solver(model, lambda _: Adaptive(rtol=1e-11, atol=1e-11)):
        exact = model.log_prob(x)
    model = model.float()
    kept = [p.clone() for p in model.parameters()]
    certificate = certify_flow(model, x.float())
    with torch.no_grad():
        error = (model.log_prob(x.float()).double() - exact).abs().mean().item()
    assert certificate.sweep[-1].solver.endswith(", float64") and "float64" not in certificate.sweep[1].solver
    assert certificate.sweep[-1].log_prob == pytest.approx(exact.mean().item(), abs=1e-6)
    assert certificate.solver_error == pytest.approx(error, rel=0.1) and certificate.is_tight()
    assert all(p.dtype == torch.float32 and torch.equal(p, q) for p, q in zip(model.parameters(), kept, strict=True))


@pytest.mark.parametrize("divergence", ["rademacher", "hutchinson", "forward_hutchinson"])
def test_probes_are_the_same_in_both_precisions(divergence):
    certificate = certify_flow(flow(FixedGrid(steps=40), divergence).float(), data().float())
    assert certificate.solver_error < 1e-4 < certificate.standard_error


def test_error_of_a_mean_over_more_examples():
    certificate = Certificate(4, (Sweep("rk4 8 steps", -1.0, 32),), 0, 1e-3, "rademacher", 0.2, 8, None)
    assert certificate.error == certificate.error_of_mean(4) == pytest.approx(0.401)
    assert certificate.error_of_mean(400) == pytest.approx(0.041)
    assert certificate.is_tight(0.05, examples=400) and not certificate.is_tight(0.05)


def test_a_solver_that_gives_up_is_not_tight():
    certificate = certify_flow(flow(Adaptive(rtol=1e-4, atol=1e-4, max_nfe=50)), data())
    assert math.isnan(certificate.sweep[-1].log_prob) and not certificate.is_tight(1e6)


def test_table_names_what_was_used():
    text = str(certify_flow(flow(Adaptive(rtol=1e-5, atol=1e-5)), data()))
    lines = text.splitlines()
    assert "64 examples" in lines[0]
    assert [line for line in lines if "<- used" in line] == [line for line in lines if "rtol 1e-05" in line]
    assert "0 (exact trace)" in text and "round trip" in text
    assert max(map(len, lines)) < 100
    noisy = Certificate(4, (Sweep("rk4 8 steps", -1.0, 32),), 0, 1e-3, "rademacher", 0.2, 8, None)
    assert "2.00e-01 (8 probes)" in str(noisy) and "no inverse" in str(noisy)


def test_what_it_refuses():
    discrete = Flow(ActNorm(3), StandardNormal(3)).double().eval()
    with pytest.raises(ValueError, match="at least one continuous layer"):
        certify_flow(discrete, data())
    model = flow(FixedGrid())
    with pytest.raises(ValueError, match="probes must be at least 2"):
        certify(model, lambda flow, x: flow.log_prob(x), data(), probes=1)
    with pytest.raises(ValueError, match="factors must have one above 1"):
        certify_flow(model, data(), factors=(0.5,))
    with pytest.raises(RuntimeError, match="evaluation mode"):
        certify_flow(model.train(), data())

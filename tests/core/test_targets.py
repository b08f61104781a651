"""Targets against their definitions: normalisers, samples, moments, gradients, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import HalfCauchy, Independent, Normal

from flowsuite.core.targets import (
    TARGETS,
    U1,
    U2,
    U4,
    Banana,
    EightSchools,
    Funnel,
    LogisticRegression,
    make_target,
)
from flowsuite.core.variational.quadrature import divergences, evaluate, grid, log_normalizer

DOUBLE = torch.float64


@pytest.mark.parametrize("name", TARGETS)
def test_shape_precision_and_gradients(name):
    target = make_target(name)
    torch.manual_seed(0)
    z = torch.randn(7, target.dims).requires_grad_()
    log_p = target(z)
    assert log_p.shape == (7,) and log_p.dtype == torch.float32 and log_p.isfinite().all()
    assert torch.autograd.grad(log_p.sum(), z)[0].isfinite().all()
    torch.testing.assert_close(target(z.double()).float(), log_p, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=rf"\(N, {target.dims}\), got \(7, {target.dims + 1}\)"):
        target(torch.zeros(7, target.dims + 1))


@pytest.mark.parametrize("name", ["U1", "U2", "U3", "U4"])
def test_energies_have_gradients_at_the_origin_and_far_out(name):
    for envelope in (None, "quartic", "box"):
        z = torch.tensor([[0.0, 0.0], [50.0, -50.0]]).requires_grad_()
        log_p = make_target(name, envelope=envelope)(z)
        assert log_p.isfinite().all()
        assert torch.autograd.grad(log_p.sum(), z)[0].isfinite().all()


def test_support_holds_all_the_mass():
    for name in ("U1", "U2", "U3", "U4"):
        for envelope in ("quartic", "box"):
            target = make_target(name, envelope=envelope)
            wider = [1.5 * side for side in target.support]
            assert abs(log_normalizer(target, wider, 0.05) - target.log_normalizer()) < 1e-6, (name, envelope)


def test_normaliser_of_the_wave_over_the_window_is_that_of_its_cross_section():
    """Integrating U2 over all z_2 gives 0.4 sqrt(2 pi), whatever z_1."""
    exact = math.log(8 * 0.4 * math.sqrt(2 * math.pi))
    assert abs(log_normalizer(U2(), (-4, 4, -8, 8)) - exact) < 1e-9


def test_quadrature_gives_the_divergence_of_two_gaussians():
    p, q = Normal(0.3, 0.8), Normal(-0.2, 0.5)
    given = divergences(lambda z: q.log_prob(z).sum(1), lambda z: p.log_prob(z).sum(1) + 3.0, (-8, 8, -8, 8), step=0.05)
    expected = 2 * float(torch.distributions.kl_divergence(q, p)), 2 * float(torch.distributions.kl_divergence(p, q))
    assert np.allclose(given[:2], expected, atol=1e-6)
    assert abs(given.log_normalizer - 3) < 1e-6 and abs(given.mass - 1) < 1e-6


def test_divergence_where_one_density_vanishes():
    inside = lambda z: torch.where(z[:, 0] > 0, 0.0, -math.inf)  # noqa: E731
    everywhere = lambda z: torch.zeros(len(z))  # noqa: E731
    given = divergences(inside, everywhere, (-1, 1, -1, 1), step=0.1)
    assert given.reverse_kl == pytest.approx(math.log(2), abs=1e-6)
    assert given.forward_kl == math.inf


@pytest.mark.parametrize("bounds", [(1, 0, 0, 1), (0, 1, 0, math.inf)])
def test_bad_windows(bounds):
    with pytest.raises(ValueError, match="bounds"):
        grid(bounds)


@pytest.mark.parametrize(
    ("target", "bounds"), [(Funnel(2, 1.0), (-9, 9, -60, 60)), (Banana(2, 0.1, 2.0), (-14, 14, -22, 8))]
)
def test_funnel_and_banana_are_normalised(target, bounds):
    assert abs(log_normalizer(target, bounds, 0.02)) < 1e-3


@pytest.mark.parametrize("target", [Funnel(4, 1.0), Banana(4, 0.1, 2.0)])
def test_samples_are_of_the_density(target):
    """E_p[q / p] = 1 for a narrower normalised q: wrong samples or a wrong density would show."""
    z = target.sample(200_000, torch.Generator().manual_seed(0)).double()
    q = Normal(torch.zeros(4, dtype=DOUBLE), 0.5)
    ratio = torch.exp(q.log_prob(z).sum(1) - target(z))
    error = float(ratio.std() / math.sqrt(len(ratio)))
    assert abs(float(ratio.mean()) - 1) < 4 * error < 0.2


def test_schools_two_forms_are_one_density():
    torch.manual_seed(0)
    z = torch.randn(20, 10, dtype=DOUBLE)
    free, centred = EightSchools(), EightSchools(centred=True)
    same = torch.cat((z[:, :2], free.theta(z)), 1)
    torch.testing.assert_close(centred(same) + 8 * z[:, 1], free(z))
    torch.testing.assert_close(centred.theta(same), free.theta(z))


def test_schools_density_is_the_model():
    torch.manual_seed(0)
    z, target = torch.randn(6, 10, dtype=DOUBLE), EightSchools()
    tau = z[:, 1].exp()
    expected = Normal(0.0, 5.0).log_prob(z[:, 0]) + HalfCauchy(torch.tensor(5.0, dtype=DOUBLE)).log_prob(tau) + z[:, 1]
    expected = expected + Normal(0.0, 1.0).log_prob(z[:, 2:]).sum(1)
    expected = expected + Normal(target.theta(z), target.errors).log_prob(target.effects).sum(1)
    torch.testing.assert_close(target(z), expected)


def test_schools_evidence_and_moments_by_importance_sampling_from_the_prior():
    generator, n, target = torch.Generator().manual_seed(0), 400_000, EightSchools()
    z = torch.randn(n, 10, generator=generator, dtype=DOUBLE)
    z[:, 0] *= 5
    z[:, 1] = torch.log(5 * torch.tan(math.pi / 2 * torch.rand(n, generator=generator, dtype=DOUBLE)))
    log_w = Normal(target.theta(z), target.errors).log_prob(target.effects).sum(1)
    assert abs(float(torch.logsumexp(log_w, 0)) - math.log(n) - target.log_normalizer()) < 0.02
    share, moments = torch.softmax(log_w, 0), target.moments()
    assert abs(float(share @ z[:, 0]) - moments["mu"]) < 0.1
    assert abs(float(share @ z[:, 1]) - moments["log_tau"]) < 0.1


def test_logistic_regression_is_the_model():
    torch.manual_seed(0)
    x, y = torch.randn(30, 2, dtype=DOUBLE), torch.randint(2, (30,))
    target = LogisticRegression(x, y, prior_std=2.0, standardize=False)
    z = torch.randn(4, 3, dtype=DOUBLE)
    logits = z[:, :1] + z[:, 1:] @ x.T
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(y.double()).sum(1)
    expected = expected + Normal(0.0, 2.0).log_prob(z).sum(1)
    torch.testing.assert_close(target(z), expected)
    assert LogisticRegression(x, y).design[:, 1:].std(0, correction=0).sub(1).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_target("U5"), "unknown target 'U5'"),
        (lambda: U1("cubic"), "envelope"),
        (lambda: U4(scales=(0.4, 0.0)), "scales"),
        (lambda: Funnel(1), "dims"),
        (lambda: Banana(2, std=-1), "std"),
        (lambda: LogisticRegression(np.zeros((3, 2))), "both"),
        (lambda: LogisticRegression(np.zeros((3, 2)), np.array([0, 1, 2])), r"labels\[2\] is 2"),
        (lambda: LogisticRegression(np.array([[0.0, np.nan]]), np.array([0])), r"inputs\[0, 1\] is nan"),
        (lambda: LogisticRegression(np.zeros((3, 2)), np.zeros(2)), r"\(3, 2\) and \(2,\)"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_evaluation_goes_part_by_part():
    sizes = []

    def density(z):
        sizes.append(len(z))
        return z.sum(1)

    points = torch.rand(100_000, 2, dtype=DOUBLE)
    torch.testing.assert_close(evaluate(density, points), points.sum(1))
    assert len(sizes) == 2


def test_divergences_where_a_density_is_not_a_number():
    """Far from q that is an inverse that overflows, and q is nothing there; p has no such excuse."""
    bounds, p = (-6.0, 6.0, -6.0, 6.0), Independent(Normal(torch.zeros(2).double(), 1.0), 1).log_prob
    far = lambda z: torch.where(z[:, 0] > 5.5, math.nan, p(z))  # noqa: E731
    found = divergences(far, p, bounds)
    assert abs(found.reverse_kl) < 1e-6 and found.mass == pytest.approx(1, abs=1e-6)
    assert math.isnan(divergences(p, far, bounds).reverse_kl)

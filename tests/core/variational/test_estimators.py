"""Bounds and their gradients on models where everything is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal

from flowsuite.core.objective import (
    doubly_reparameterized_loss,
    forward_kl,
    free_energy,
    importance_weighted_bound,
    variational_renyi_bound,
    warmed_up_elbo_loss,
)
from flowsuite.core.variational import (
    ESTIMATORS,
    Posterior,
    importance_sampled_log_likelihood,
    sampled_loss,
    stopped_log_prob,
)

DOUBLE = torch.float64
SCALE, SHIFT = 0.7, 0.4


def log_normal_density(z):
    return Normal(SHIFT, SCALE).log_prob(z).sum(-1)


def gaussian(mean=0.0, log_scale=0.0, dims=2):
    flow = Posterior(dims, "gaussian").double()
    with torch.no_grad():
        flow.layers[0].mean.fill_(mean)
        flow.layers[0].log_scale.fill_(log_scale)
    return flow


def gradient(flow, loss):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(flow.parameters()))])


def seeded():
    return torch.Generator().manual_seed(0)


def test_the_two_annealings_differ_below_one_and_agree_at_one():
    log_q, prior, likelihood = torch.randn(3, 8, dtype=DOUBLE)
    joint = free_energy(log_q, prior + likelihood, 0.3)
    kl = warmed_up_elbo_loss(likelihood, prior, log_q, 0.3)
    torch.testing.assert_close(joint, (log_q - 0.3 * (prior + likelihood)).mean())
    torch.testing.assert_close(kl, (0.3 * (log_q - prior) - likelihood).mean())
    assert abs(joint - kl) > 1e-3
    torch.testing.assert_close(free_energy(log_q, prior + likelihood), warmed_up_elbo_loss(likelihood, prior, log_q))
    floor = warmed_up_elbo_loss(likelihood, prior, log_q, 1.0, free_nats=50.0)
    torch.testing.assert_close(floor, 50 - likelihood.mean())


def test_renyi_bound_lies_between_the_others():
    log_w = torch.randn(64, 5, dtype=DOUBLE)
    elbo, iwae = log_w.mean(0), importance_weighted_bound(log_w)
    torch.testing.assert_close(variational_renyi_bound(log_w, 0.0), iwae)
    torch.testing.assert_close(variational_renyi_bound(log_w, 1.0), elbo)
    torch.testing.assert_close(variational_renyi_bound(log_w, 1 - 1e-7), elbo, atol=1e-5, rtol=0)
    half = variational_renyi_bound(log_w, 0.5)
    assert ((elbo < half) & (half < iwae)).all()


@pytest.mark.parametrize("estimator", ["reparameterized", "stl"])
def test_gradient_of_the_reverse_divergence(estimator):
    flow = gaussian(0.1, 0.2)
    loss, z, log_w = sampled_loss(flow, log_normal_density, 200_000, estimator, generator=seeded())
    # KL(N(m, s^2) || N(mu, S^2)): d/dm = (m - mu) / S^2, d/dlog s = s^2 / S^2 - 1
    expected = torch.tensor([(0.1 - SHIFT) / SCALE**2] * 2 + [math.exp(0.4) / SCALE**2 - 1] * 2, dtype=DOUBLE)
    torch.testing.assert_close(gradient(flow, loss), expected, atol=0.03, rtol=0)
    assert z.shape == (200_000, 2) and not log_w.requires_grad
    torch.testing.assert_close(loss.detach(), -log_w.mean())


@pytest.mark.parametrize("kind", ["gaussian", "planar", "radial", "triangular"])
def test_sticking_the_landing_keeps_the_expected_gradient(kind):
    """Both are unbiased for the same thing: with very many samples they agree to their errors."""
    torch.manual_seed(0)
    flow = (Posterior(2, kind, 2) if kind != "gaussian" else Posterior(2, kind)).double()
    plain = gradient(flow, sampled_loss(flow, log_normal_density, 100_000, "reparameterized", generator=seeded())[0])
    stuck = gradient(flow, sampled_loss(flow, log_normal_density, 100_000, "stl", generator=seeded())[0])
    torch.testing.assert_close(plain, stuck, atol=0.06, rtol=0.05)
    assert not torch.equal(plain, stuck)


def test_sticking_the_landing_has_no_variance_at_the_optimum():
    flow = gaussian(SHIFT, math.log(SCALE))
    stuck = gradient(flow, sampled_loss(flow, log_normal_density, 5, "stl", generator=seeded())[0])
    plain = gradient(flow, sampled_loss(flow, log_normal_density, 5, "reparameterized", generator=seeded())[0])
    assert stuck.abs().max() < 1e-7 < 1e-2 < plain.abs().max()


def test_dreg_has_the_value_and_the_expected_gradient_of_iwae():
    flow, n, repeats = gaussian(0.0, 0.3, dims=1), 4, 1000
    context_free = {"iwae": [], "dreg": []}
    for estimator, out in context_free.items():
        generator = seeded()
        for _ in range(repeats):
            loss, _, log_w = sampled_loss(flow, log_normal_density, n, estimator, generator=generator)
            torch.testing.assert_close(loss.detach(), -importance_weighted_bound(log_w))
            out.append(gradient(flow, loss))
    plain, doubly = (torch.stack(context_free[name]) for name in ("iwae", "dreg"))
    error = (plain.var(0) / repeats + doubly.var(0) / repeats).sqrt()
    assert ((plain.mean(0) - doubly.mean(0)).abs() < 4 * error).all()
    assert (doubly.var(0) < plain.var(0)).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_several_bounds_are_the_mean_of_each(estimator):
    torch.manual_seed(0)
    flow = Posterior(2, "planar", 2).double()
    loss, z, log_w = sampled_loss(flow, log_normal_density, 4, estimator, bounds=3, generator=seeded())
    assert z.shape == (4, 3, 2) and log_w.shape == (4, 3)
    if estimator in ("iwae", "dreg"):
        torch.testing.assert_close(loss.detach(), -importance_weighted_bound(log_w).mean())
    (grad,) = torch.autograd.grad(loss, flow.layers[1].w)
    assert grad.isfinite().all() and grad.any()
    with pytest.raises(ValueError, match="bounds"):
        sampled_loss(flow, log_normal_density, 4, estimator, bounds=0)


def test_dreg_leaves_the_gradient_of_the_model_alone():
    flow, shift = gaussian(0.0, 0.3), torch.tensor(0.2, dtype=DOUBLE, requires_grad=True)

    def log_joint(z):
        return log_normal_density(z - shift)

    grads = []
    for estimator in ("iwae", "dreg"):
        loss, _, _ = sampled_loss(flow, log_joint, 6, estimator, generator=seeded())
        grads.append(torch.autograd.grad(loss, shift)[0])
    torch.testing.assert_close(*grads)


def test_dreg_weights_are_squared():
    """By hand, for z = phi * eps and log w = f(z)."""
    phi, eps = torch.tensor(0.5, dtype=DOUBLE, requires_grad=True), torch.tensor([0.3, -1.0, 2.0], dtype=DOUBLE)
    z = (phi * eps).unsqueeze(-1)
    log_w = -z.square().sum(-1)
    (given,) = torch.autograd.grad(doubly_reparameterized_loss(log_w, z), phi)
    v = torch.softmax(log_w.detach(), 0)
    expected = -(v.square() * (-2 * z.detach().squeeze(-1)) * eps).sum()
    torch.testing.assert_close(given, expected)


def test_forward_divergence_from_samples_and_from_weights():
    generator = seeded()
    samples = SHIFT + SCALE * torch.randn(100_000, 2, generator=generator, dtype=DOUBLE)
    flow = gaussian(0.1, 0.2)
    direct = gradient(flow, forward_kl(flow.log_prob(samples)))
    weighted = gradient(flow, sampled_loss(flow, log_normal_density, 100_000, "forward", generator=generator)[0])
    torch.testing.assert_close(direct, weighted, atol=0.05, rtol=0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kind", ["planar", "iaf", "orthogonal", "spline"])
def test_every_estimator_with_a_context(estimator, kind):
    torch.manual_seed(0)
    flow = Posterior(3, kind, 2, context_features=4).double()
    context = torch.randn(5, 4, dtype=DOUBLE, requires_grad=True)
    loss, z, log_w = sampled_loss(flow, log_normal_density, 6, estimator, context=context)
    assert z.shape == (6, 5, 3) and log_w.shape == (6, 5)
    loss.backward()
    assert context.grad.isfinite().all() and context.grad.any(1).all()


def test_stopped_density_is_the_density_and_depends_on_the_point_alone():
    torch.manual_seed(0)
    flow, context = Posterior(3, "planar", 3, context_features=2).double(), torch.randn(4, 2, dtype=DOUBLE)
    context.requires_grad_()
    z, log_q = flow.rsample_and_log_prob(7, context)
    again = stopped_log_prob(flow, z, context)
    torch.testing.assert_close(again, log_q)
    z = z.detach().requires_grad_()
    value = stopped_log_prob(flow, z, context)
    assert torch.autograd.grad(value.sum(), z)[0].any()
    with pytest.raises(RuntimeError):
        torch.autograd.grad(stopped_log_prob(flow, z.detach(), context).sum(), context)


def linear_gaussian():
    """`z ~ N(0, I)`, `x | z ~ N(A z, I / 4)`: x is normal."""
    torch.manual_seed(0)
    a, x = torch.randn(4, 2, dtype=DOUBLE), torch.randn(3, 4, dtype=DOUBLE)
    evidence = MultivariateNormal(torch.zeros(4, dtype=DOUBLE), a @ a.T + torch.eye(4) / 4).log_prob(x)

    def log_joint(z):
        return Normal(0.0, 1.0).log_prob(z).sum(-1) + Normal(z @ a.T, 0.5).log_prob(x).sum(-1)

    covariance = torch.linalg.inv(torch.eye(2) + 4 * a.T @ a)
    mean = x @ (4 * covariance @ a.T).T
    return log_joint, mean, covariance, evidence


class Encoded(nn.Module):
    """Counts how often it is asked."""

    def __init__(self, values):
        super().__init__()
        self.values, self.calls = values, 0

    def forward(self, context):
        self.calls += 1
        return self.values.expand(len(context), -1) if len(self.values) == 1 else self.values


def test_importance_sampled_likelihood_of_a_linear_gaussian_model():
    log_joint, mean, covariance, evidence = linear_gaussian()
    flow = Posterior(2, "gaussian", context_features=1).double()
    scale = covariance.diagonal().sqrt().log()
    flow.layers[0].head = Encoded(torch.cat((mean, scale.expand(3, 2) + 0.3), 1))
    context = torch.zeros(3, 1, dtype=DOUBLE)
    estimate = importance_sampled_log_likelihood(flow, log_joint, 20_000, context, chunk=3000, generator=seeded())
    torch.testing.assert_close(estimate, evidence, atol=0.05, rtol=0)
    assert flow.layers[0].head.calls == 7  # once a chunk, whatever its size


def test_likelihood_does_not_depend_on_the_chunks():
    torch.manual_seed(0)
    flow = Posterior(2, "planar", 2).double()
    values = []
    for chunk in (1, 7, 100):
        generator = seeded()
        values.append(importance_sampled_log_likelihood(flow, log_normal_density, 100, None, chunk, generator))
    assert values[0].shape == ()
    torch.testing.assert_close(values[1], values[2], atol=1.0, rtol=0)
    with pytest.raises(ValueError, match="at least 1 sample"):
        importance_sampled_log_likelihood(flow, log_normal_density, 0)


def test_unknown_estimator():
    with pytest.raises(ValueError, match="estimator must be one of"):
        sampled_loss(gaussian(), log_normal_density, 3, "score")

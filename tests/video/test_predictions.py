"""Gaussians and mixtures of priors, and how they learn."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from flowsuite.video.heads import Form, MixtureHead, as_gaussian
from flowsuite.video.predictions import Gaussian, Mixture, balanced_assignment, soft_clamp

LATENT = (2, 3, 3)


def mixture(n=6, components=4, seed=0) -> Mixture:
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(n, components, *shape, generator=generator) for shape in ((), LATENT, LATENT)]
    return Mixture(parts[0], parts[1], 0.3 * parts[2])


def test_gaussian_against_torch():
    mean, log_std, z = (torch.randn(5, *LATENT) for _ in range(3))
    expected = Independent(Normal(mean, log_std.exp()), 3).log_prob(z)
    prior = Gaussian(mean, log_std)
    torch.testing.assert_close(prior.log_prob(z), expected)
    torch.testing.assert_close(prior.draw(prior.standardize(z)), z)
    torch.testing.assert_close(prior.draw(z, 0.0), mean)


def test_mixture_against_torch():
    prior, z = mixture(), torch.randn(6, *LATENT)
    each = Independent(Normal(prior.mean, prior.log_std.exp()), 3)
    expected = MixtureSameFamily(Categorical(logits=prior.logits), each).log_prob(z)
    torch.testing.assert_close(prior.log_prob(z), expected)


def test_components_are_drawn_by_their_weights():
    prior = mixture(1)
    uniform = torch.linspace(0, 1, 10001)[:-1]
    many = Mixture(*(t.expand(10000, *t.shape[1:]) for t in prior))
    drawn = many.draw(torch.zeros(10000, *LATENT), 1.0, uniform)
    nearest = (drawn.unsqueeze(1) - prior.mean).square().sum((2, 3, 4)).argmin(1)
    torch.testing.assert_close(nearest.bincount(minlength=4) / 10000, prior.logits[0].softmax(0), atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="uniform"):
        prior.draw(torch.zeros(1, *LATENT))


def test_assignment_is_balanced():
    shares = balanced_assignment(100 * torch.randn(32, 4, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(shares.sum(1), torch.ones(32))
    torch.testing.assert_close(shares.sum(0), torch.full((4,), 8.0), rtol=0.1, atol=0)


def test_assignment_follows_clear_cases():
    """Two examples for each of three components, thousands of nats apart, and a bias for the first one."""
    log_prob = torch.full((6, 3), -5000.0)
    log_prob[range(6), [0, 0, 1, 1, 2, 2]] = 0.0
    log_prob[:, 0] += 500.0
    assert balanced_assignment(log_prob).argmax(1).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_balanced_density_has_the_right_value(balance):
    prior, z = mixture(), torch.randn(6, *LATENT)
    torch.testing.assert_close(prior.balanced_log_prob(z, balance), prior.log_prob(z))


def test_gradients_of_the_balanced_density():
    prior, z = mixture(), torch.randn(6, *LATENT)
    gradients = []
    for balance in (None, 0.0, 1.0):
        mean = prior.mean.clone().requires_grad_()
        moved = Mixture(prior.logits, mean, prior.log_std)
        density = moved.log_prob(z) if balance is None else moved.balanced_log_prob(z, balance)
        gradients.append(torch.autograd.grad(density.sum(), mean)[0])
    torch.testing.assert_close(gradients[1], gradients[0])  # without balance that of the likelihood
    shares = balanced_assignment(prior.component_log_prob(z))[..., None, None, None]
    wanted = shares * (z.unsqueeze(1) - prior.mean) * (-2 * prior.log_std).exp()
    torch.testing.assert_close(gradients[2], wanted)


def test_a_collapsed_mixture_comes_apart():
    """Eight clusters, components that start alike: with balance each gets one, and the likelihood gains by it."""
    generator = torch.Generator().manual_seed(0)
    centres = 5 * torch.randn(8, *LATENT, generator=generator)

    def trained(balance: float) -> tuple[int, float]:
        mean = (0.01 * torch.randn(8, *LATENT, generator=generator)).requires_grad_()
        optimizer = torch.optim.Adam([mean], lr=0.1)
        for step in range(250):
            label = torch.randint(8, (64,), generator=generator)
            z = centres[label] + 0.1 * torch.randn(64, *LATENT, generator=generator)
            prior = Mixture(torch.zeros(64, 8), mean.expand(64, -1, -1, -1, -1), torch.zeros(64, 8, *LATENT))
            optimizer.zero_grad()
            (-prior.balanced_log_prob(z, balance * max(0.0, 1 - step / 150)).mean()).backward()
            optimizer.step()
        near = (centres.unsqueeze(1) - mean.detach()).square().sum((2, 3, 4)).amin(1) < 1
        return int(near.sum()), float(prior.log_prob(z).mean())

    (found, density), (alone, other) = trained(1.0), trained(0.0)
    assert found >= 7 and found > alone and density > other


def test_soft_clamp():
    s = torch.tensor([-1e6, -0.01, 0.0, 0.01, 1e6])
    torch.testing.assert_close(soft_clamp(s, 7.0), torch.tensor([-7.0, -0.01, 0.0, 0.01, 7.0]), rtol=1e-4, atol=1e-6)
    assert soft_clamp(s, None) is s


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_natural_gradient_of_the_mean(power):
    h, z = torch.randn(3, 4, 3, 3, requires_grad=True), torch.randn(3, *LATENT)
    prior = as_gaussian(h, None, Form(None, power))
    (gradient,) = torch.autograd.grad(prior.log_prob(z).sum(), h)
    with torch.no_grad():
        plain = as_gaussian(h, None, Form())
        torch.testing.assert_close(prior.mean, plain.mean)
        sigma = plain.log_std.exp()
        eps = (z - plain.mean) / sigma
        torch.testing.assert_close(gradient[:, :2], eps / sigma * sigma ** (2 * power))
        torch.testing.assert_close(gradient[:, 2:], eps.square() - 1)


def test_heads_start_with_different_components():
    head = MixtureHead(5, 2, 3, 8)
    prior = head(torch.randn(2, 5, 4, 4), None, Form(7.0))
    assert prior.logits.shape == (2, 3) and prior.mean.shape == (2, 3, 2, 4, 4)
    assert (prior.mean[:, 0] - prior.mean[:, 1]).abs().max() > 0
    torch.testing.assert_close(prior.logits, torch.zeros(2, 3))

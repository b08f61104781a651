"""Losses of autoencoders: their values, their gradients, the two annealings."""

from __future__ import annotations

import math

import pytest
import torch

from flowsuite.images.vae.annealing import Annealing
from flowsuite.images.vae.objective import bound_loss
from tests.images.vae.vaes_made import binary, vae


def test_values():
    flow = vae("planar").double()
    terms = flow.terms(binary(), 4)
    likelihood, prior, log_q = terms.log_likelihood, terms.log_prior, terms.log_q

    def loss(objective, joint=False, beta=1.0, **options):
        return bound_loss(flow.posterior, terms, objective, joint, beta, **options)

    bound = math.log(4) - torch.logsumexp(terms.elbo, 0)
    torch.testing.assert_close(loss("elbo"), -terms.elbo.mean())
    torch.testing.assert_close(loss("iwae"), bound.mean())
    torch.testing.assert_close(loss("elbo", beta=0.3), (-likelihood - 0.3 * (prior - log_q)).mean())
    torch.testing.assert_close(loss("elbo", True, 0.3), (log_q - 0.3 * (likelihood + prior)).mean())
    for joint in (False, True):
        for name, other in (("stl", "elbo"), ("dreg", "iwae")):
            torch.testing.assert_close(loss(name, joint, 0.3), loss(other, joint, 0.3), rtol=0, atol=1e-6)
    kl = (log_q - prior).mean()
    floor = float(kl) + 1
    torch.testing.assert_close(loss("elbo", free_nats=floor), -likelihood.mean() + floor)


@pytest.mark.parametrize(("left_out", "whole"), [("stl", "elbo"), ("dreg", "iwae")])
def test_gradients_agree_in_the_mean(left_out, whole):
    flow, x = vae("planar", image_shape=[1, 2, 2], latent_dims=2, features=3, hidden=[4]).double(), binary(2, (1, 2, 2))
    means = {}
    for name in (left_out, whole):
        torch.manual_seed(0)
        grads = []
        for _ in range(400):
            terms = flow.terms(x.repeat(20, 1, 1, 1), 3)
            flow.zero_grad()
            bound_loss(flow.posterior, terms, name, False, 1.0).backward()
            head = flow.posterior.layers[0].head.bias.grad
            grads.append(head.clone())
        grads = torch.stack(grads)
        means[name] = grads.mean(0), grads.std(0) / 20
    (a, a_error), (b, b_error) = means.values()
    assert ((a - b).abs() < 4.5 * (a_error.square() + b_error.square()).sqrt()).all()


def test_annealing_of_both_kinds():
    kl, joint = Annealing("kl"), Annealing("joint")
    assert [kl.beta(epoch, 0) for epoch in (0, 49, 99, 500)] == [0.01, 0.5, 1.0, 1.0]
    assert [joint.beta(0, step) for step in (0, 5000, 9900, 10**6)] == pytest.approx([0.01, 0.51, 1.0, 1.0])
    assert Annealing("none").beta(0, 0) == 1 and Annealing("kl", 4).beta(0, 0) == 0.25
    with pytest.raises(ValueError, match="annealing must be one of none, kl, joint, got 'cosine'"):
        Annealing("cosine")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Annealing("kl", 0)

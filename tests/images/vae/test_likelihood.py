"""Distributions of pixels against torch.distributions, their means and samples."""

from __future__ import annotations

import pytest
import torch

from flowsuite.images.vae.likelihood import make_likelihood
from tests.images.vae.vaes_made import binary


def test_bernoulli_is_torchs():
    x, logits = binary(4, (2, 3, 2)), 3 * torch.randn(3 * 4, 2, 3, 2)
    found = make_likelihood("bernoulli").log_prob(logits, x)
    wanted = torch.distributions.Bernoulli(logits=logits.unflatten(0, (3, 4))).log_prob((x / 255).expand(3, 4, 2, 3, 2))
    torch.testing.assert_close(found, wanted.sum((2, 3, 4)))
    extreme = make_likelihood("bernoulli").log_prob(torch.full((1, 1, 1, 1), -500.0), torch.full((1, 1, 1, 1), 255))
    assert extreme.item() == -500


def test_categorical_is_torchs():
    torch.manual_seed(0)
    x, raw = torch.randint(0, 256, (4, 1, 3, 2), dtype=torch.uint8), torch.randn(2 * 4, 256, 3, 2)
    found = make_likelihood("categorical").log_prob(raw, x)
    distribution = torch.distributions.Categorical(logits=raw.unflatten(0, (2, 4)).movedim(2, -1))
    torch.testing.assert_close(found, distribution.log_prob(x[:, 0].long()).sum((2, 3)))


@pytest.mark.parametrize(("name", "channels"), [("bernoulli", 1), ("categorical", 256)])
def test_samples_have_the_mean(name, channels):
    torch.manual_seed(0)
    likelihood, raw = make_likelihood(name), torch.randn(1, channels, 2, 2)
    samples = likelihood.sample(raw.expand(4000, -1, -1, -1), torch.Generator().manual_seed(0))
    assert samples.dtype == likelihood.mean(raw).dtype == torch.uint8 and samples.shape == (4000, 1, 2, 2)
    assert (samples.double().mean(0) - likelihood.mean(raw)[0].double()).abs().max() < 8
    if name == "bernoulli":
        assert set(samples.unique().tolist()) == {0, 255}


def test_grey_images_are_refused_where_binary_ones_are_expected():
    with pytest.raises(ValueError, match=r"values 0 and 255, got 7 among others.*BinaryMNIST"):
        make_likelihood("bernoulli").check(torch.tensor([0, 255, 7], dtype=torch.uint8))
    make_likelihood("categorical").check(torch.tensor([0, 255, 7], dtype=torch.uint8))
    with pytest.raises(ValueError, match="unknown likelihood 'gauss': expected one of bernoulli, categorical"):
        make_likelihood("gauss")

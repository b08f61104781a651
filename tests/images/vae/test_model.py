"""The bound and the likelihood of a FlowVAE against integrals over its latents."""

from __future__ import annotations

import pytest
import torch

from flowsuite.core.variational import KINDS
from flowsuite.core.variational.quadrature import grid
from flowsuite.images import FlowVAE
from tests.images.vae.vaes_made import OPTIONS, binary, vae

TINY = {"image_shape": [1, 1, 2], "latent_dims": 2, "features": 6, "hidden": [8]}


def exact(flow: FlowVAE, x: torch.Tensor) -> torch.Tensor:
    """`log p(x)` by quadrature over two latents."""
    points, area = grid((-7, 7, -7, 7), 0.05)
    points = points.to(flow.prior.anchor.dtype)
    log_joint = flow.log_likelihood(points[:, None].expand(-1, len(x), -1), x) + flow.log_prior(points)[:, None]
    return torch.logsumexp(log_joint, 0) + torch.log(torch.tensor(area))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_importance_sampling_finds_the_likelihood_and_the_bound_is_below(kind):
    flow, x = vae(kind, n_layers=1, **TINY).double(), binary(3, (1, 1, 2))
    torch.manual_seed(0)
    wanted = exact(flow, x)
    found = flow.log_prob(x, samples=20000, rows=20000)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.1)
    assert (flow.terms(x, 4000).elbo.mean(0) < wanted + 0.02).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind):
    flow = vae(kind).train()
    (-flow.terms(binary(), 2).elbo.mean()).backward()
    still = {name for name, p in flow.named_parameters() if p.grad is None or not p.grad.any()}
    assert all(p.grad.isfinite().all() for p in flow.parameters() if p.grad is not None)
    assert not still or (kind == "cnf" and all(name.startswith("posterior.") for name in still)), still


def test_terms_are_what_they_say():
    flow, x = vae("orthogonal").double(), binary()
    terms = flow.terms(x, 4)
    assert terms.z.shape == (4, 5, 3) and terms.context.shape == (5, 12)
    normal = torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(terms.log_prior, normal.log_prob(terms.z).sum(-1))
    for s in range(4):
        torch.testing.assert_close(
            terms.log_q[s], flow.posterior.log_prob(terms.z[s], terms.context), atol=1e-6, rtol=0
        )
        logits = flow.decoder(terms.z[s])
        wanted = torch.distributions.Bernoulli(logits=logits).log_prob((x > 0).double()).sum((1, 2, 3))
        torch.testing.assert_close(terms.log_likelihood[s], wanted)
    torch.testing.assert_close(terms.elbo, terms.log_likelihood + terms.log_prior - terms.log_q)


def test_images_are_encoded_once_and_decoded_in_parts(monkeypatch):
    flow, seen = vae(), {"encoder": [], "decoder": []}
    for name, sizes in seen.items():
        getattr(flow, name).register_forward_hook(lambda module, given, out, sizes=sizes: sizes.append(len(given[0])))
    flow.log_prob(binary(5), samples=30, rows=40)
    assert seen["encoder"] == [5] and sum(seen["decoder"]) == 150 and max(seen["decoder"]) <= 40


def test_a_code_is_the_image_of_no_noise():
    flow, x = vae("gaussian"), binary()
    draws = flow.posterior.rsample(2000, flow.features(x))
    assert (flow.encode(x) - draws.mean(0)).abs().max() < 5 * draws.std(0).max() / 2000**0.5
    assert flow.decode(flow.encode(x)).shape == x.shape and flow.decode(flow.encode(x)).dtype == torch.uint8


def test_samples_are_those_of_their_generator():
    flow = vae()
    a, b = (flow.sample(6, generator=torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(a, b) and a.shape == (6, 1, 8, 8)
    pixels = flow.sample(6, generator=torch.Generator().manual_seed(2), pixels=True)
    assert set(pixels.unique().tolist()) == {0, 255}
    still = flow.sample(2, temperature=0.0)
    assert torch.equal(still[0], still[1]) and torch.equal(still[:1], flow.decode(torch.zeros(1, 3)))


def test_frey_faces_have_256_levels():
    flow = vae(image_shape=[1, 7, 5], likelihood="categorical", network="conv", width=2)
    x = torch.randint(0, 256, (2, 1, 7, 5), dtype=torch.uint8)
    assert flow.terms(x).elbo.shape == (1, 2) and flow.sample(3).shape == (3, 1, 7, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": [28, 28]}, r"image_shape must be \(channels, height, width\)"),
        ({"latent_dims": 0}, "latent_dims, features, width, hidden >= 1"),
        ({"network": "transformer"}, 'network must be "conv" or "dense"'),
        ({"posterior": "unknown"}, "unknown kind of posterior 'unknown'"),
        ({"posterior": "planar", "options": {"columns": 3}}, "options of a posterior of kind 'planar'.*columns"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        FlowVAE(**options)


def test_bad_images():
    flow = vae()
    with pytest.raises(TypeError, match=r"expected uint8 images, got torch\.float32"):
        flow.terms(torch.rand(2, 1, 8, 8))
    with pytest.raises(ValueError, match=r"expected images of shape \(N, 1, 8, 8\), got \(2, 1, 8, 7\)"):
        flow.terms(binary(2, (1, 8, 7)))
    with pytest.raises(ValueError, match="binary images"):
        flow.log_prob(torch.full((1, 1, 8, 8), 100, dtype=torch.uint8))
    with pytest.raises(ValueError, match="at least 1 sample"):
        flow.sample(0)


def test_options_of_every_kind_are_known():
    assert set(OPTIONS) <= set(KINDS)

import math

import pytest
import torch

from flowsuite.core.ode import FixedGrid
from flowsuite.pointclouds import PointFlow, PointNetEncoder
from flowsuite.pointclouds.batchnorm import PointBatchNorm
from flowsuite.pointclouds.encoder import Posterior
from flowsuite.pointclouds.point_cnf import draw_normal
from flowsuite.pointclouds.pointflow import subset
from tests.pointclouds.small import clouds, small


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_numbers_of_parameters():
    flow = PointFlow()
    assert [count(part) for part in (flow.encoder, flow.point_cnf, flow.latent)] == [546_688, 927_513, 134_145]
    assert count(flow) == 1_608_346
    encoder = PointFlow(deterministic=True)
    assert count(encoder.encoder) == 365_184 and count(encoder) == 1_292_697 and encoder.latent is None


def test_published_point_field_is_evaluated_with_the_exact_trace():
    cnf, x = PointFlow().point_cnf.blocks[0], torch.zeros(1, 2, 3)
    assert cnf.divergence_for(x) == "forward_rademacher"  # in training its exact trace costs four evaluations
    assert cnf.eval().divergence_for(x) == "exact"


def test_encoder_does_not_see_the_order_of_points():
    encoder, x = PointNetEncoder(6, widths=(8, 16), head=(8,)).eval(), clouds().float()
    order = torch.randperm(x.shape[1])
    for one, other in zip(encoder(x), encoder(x[:, order]), strict=True):
        torch.testing.assert_close(one, other)


def test_posterior_is_the_normal_it_says():
    mean, log_var = torch.randn(4, 3), torch.randn(4, 3)
    ours = Posterior(mean, log_var)
    normal = torch.distributions.Normal(mean, (0.5 * log_var).exp())
    z = ours.sample()
    torch.testing.assert_close(ours.log_prob(z), normal.log_prob(z).sum(1))
    torch.testing.assert_close(ours.entropy(), normal.entropy().sum(1))
    standard = torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(ours.kl_to_standard(), torch.distributions.kl_divergence(normal, standard).sum(1))
    assert torch.equal(Posterior(mean, None).sample(), mean) and not Posterior(mean, None).entropy().any()
    with pytest.raises(ValueError, match="deterministic"):
        Posterior(mean, None).log_prob(z)


@pytest.mark.parametrize("options", [{}, {"num_blocks": 2}, {"batch_norm": False, "layer": "concat"}])
def test_density_of_a_point_is_that_of_its_jacobian(options):
    flow, x = small(**options), clouds(2, 3)
    z = flow.encode(x)
    density = flow.log_prob_points(x, z)

    def move(points):
        return flow.point_cnf.points(points, z)[0]

    jacobian = torch.autograd.functional.jacobian(move, x)
    for b in range(2):
        for n in range(3):
            y = move(x)[b, n]
            ladj = torch.linalg.slogdet(jacobian[b, n, :, b, n])[1]
            expected = -0.5 * y.square().sum() - 1.5 * math.log(2 * math.pi) + ladj
            torch.testing.assert_close(density[b, n], expected, rtol=1e-4, atol=1e-4)
            others = jacobian[b, n].clone()
            others[:, b, n] = 0
            assert not others.any()  # points are independent given the code


def test_bound_is_the_sum_of_its_terms():
    flow, x = small(), clouds()
    posterior = flow.posterior(x)
    z = posterior.sample()
    terms = flow.elbo(x, z)
    torch.testing.assert_close(terms.recon, flow.log_prob_points(x, z).sum(1))
    torch.testing.assert_close(terms.prior, flow.latent.log_prob(z))
    torch.testing.assert_close(terms.entropy, posterior.entropy())
    torch.testing.assert_close(terms.bound, terms.recon + terms.prior + terms.entropy)
    torch.manual_seed(3)
    bound = flow(x)
    torch.manual_seed(3)
    torch.testing.assert_close(bound, flow.elbo(x).bound)


@torch.no_grad()
def test_a_subset_of_points_is_unbiased():
    flow, x = small(), clouds(2, 20)
    z = flow.encode(x)
    whole = flow.elbo(x, z).recon
    parts = torch.stack([flow.elbo(x, z, points=5).recon for _ in range(60)])
    error = (parts.mean(0) - whole) / (parts.std(0) / math.sqrt(len(parts)))
    assert error.abs().max() < 4 and (parts.std(0) > 0).all()
    same, weight = subset(x, 20)
    assert same is x and weight == 1


@torch.no_grad()
def test_importance_weights_tighten_the_bound():
    flow, x = small(), clouds(4, 12)
    torch.manual_seed(0)
    loose = torch.stack([flow.log_prob(x) for _ in range(32)]).mean(0)
    tight = torch.stack([flow.importance_weighted_bound(x, 8) for _ in range(4)]).mean(0)
    assert (tight > loose).all()
    torch.manual_seed(5)
    one = flow.importance_weighted_bound(x, 1)
    torch.manual_seed(5)
    z = flow.posterior(x).sample()
    expected = flow.log_prob_points(x, z).sum(1) + flow.latent.log_prob(z) - flow.posterior(x).log_prob(z)
    torch.testing.assert_close(one, expected)


def test_decoding_inverts_the_point_flow():
    flow, x = small(eval_solver=FixedGrid("rk4", 60)), clouds()
    z = flow.encode(x)
    y, _ = flow.point_cnf.points(x, z)
    torch.testing.assert_close(flow.decode(z, noise=y), x, rtol=1e-6, atol=1e-6)
    back, ladj = flow.point_cnf.inverse(y, z)
    torch.testing.assert_close(back, x, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(-ladj, flow.point_cnf(x, z)[1], rtol=1e-6, atol=1e-6)


def test_samples_come_in_the_units_of_the_data():
    flow = small()
    plain = flow.sample(2, 7, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[4.0]]])
    flow.set_normalization(mean, std)
    again = flow.sample(2, 7, generator=torch.Generator().manual_seed(0))
    assert again.shape == (2, 7, 3)
    torch.testing.assert_close(again, plain * 4 + mean.double())
    torch.testing.assert_close(flow.normalize(again), plain)
    copy = small()
    copy.load_state_dict(flow.state_dict())
    torch.testing.assert_close(copy.denormalize(plain), again)


def test_truncation_takes_the_first_draw_within_it():
    noise = draw_normal((200, 50), torch.zeros(()), torch.Generator().manual_seed(0), truncation=1.0)
    draws = torch.randn(200, 50, 4, generator=torch.Generator().manual_seed(0))
    inside = draws.abs() < 1
    chosen = torch.where(inside.any(-1), inside.to(torch.int8).argmax(-1), 0)
    assert torch.equal(noise, draws.gather(-1, chosen[..., None])[..., 0])
    assert 0 < (noise.abs() >= 1).float().mean() < 0.03  # .317^4 of them had no draw within
    with pytest.raises(ValueError, match="truncation"):
        draw_normal((2,), torch.zeros(()), None, 0.0)


@pytest.mark.parametrize("space", ["w", "z"])
def test_interpolation_ends_at_its_ends(space):
    flow, x = small(eval_solver=FixedGrid("rk4", 40)), clouds(2)
    seed = torch.Generator().manual_seed(2)
    way = flow.interpolate(x[0], x[1], 5, 11, space, seed)
    assert way.shape == (5, 11, 3)
    noise = flow.point_cnf.draw(1, 11, torch.Generator().manual_seed(2))
    for i in (0, 1):
        z = flow.encode(x[i : i + 1])
        torch.testing.assert_close(way[-i], flow.decode(z, noise=noise)[0].detach(), rtol=1e-5, atol=1e-5)


def test_reconstruction_is_by_the_mean_code():
    flow, x = small(), clouds()
    ours = flow.reconstruct(x, 9, generator=torch.Generator().manual_seed(0))
    expected = flow.decode(flow.posterior(x).mean, 9, torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours, expected.detach())
    assert not torch.equal(flow.encode(x, sample=True), flow.encode(x))


def test_point_batch_norm_takes_statistics_per_axis():
    x = torch.randn(6, 50, 3) * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor([0.0, 9.0, -3.0])
    right, legacy = PointBatchNorm(3), PointBatchNorm(3, legacy=True)
    for layer in (right, legacy):
        layer.momentum = 1.0
        layer.points(x)
    torch.testing.assert_close(right.running_mean, x.mean((0, 1)))
    torch.testing.assert_close(right.running_var, x.flatten(0, 1).var(0))
    assert legacy.running_mean.std() < 1 < right.running_mean.std()
    with pytest.raises(RuntimeError, match="training mode"):
        right.inverse_points(x)
    with pytest.raises(ValueError, match=r"clouds \(B, N, 3\)"):
        right.points(x[0])


def test_soft_noise_is_told_to_the_field():
    flow, x = small(soft_noise=0.1), clouds()
    moved, noise = flow.soften(x)
    assert noise is None and moved is x  # evaluation
    flow.train()
    moved, noise = flow.soften(x)
    assert ((noise >= 0) & (noise <= 0.1)).all() and (moved - x).abs().max() < 0.1 * 6
    z = flow.encode(x)
    assert torch.equal(flow.condition(z, noise)[:, -1], noise / 0.1) and not flow.condition(z)[:, -1].any()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(2, 5, 2), ValueError, r"shape \(B, N, 3\).*\(2, 5, 2\)"),
        (torch.zeros(5, 3), ValueError, r"shape \(B, N, 3\)"),
        (torch.zeros(2, 0, 3), ValueError, "at least one point"),
        (torch.zeros(2, 5, 3, dtype=torch.int64), TypeError, "floats, got torch.int64"),
        ([torch.zeros(4, 3), torch.zeros(5, 3)], TypeError, "floats, got list"),
        (torch.tensor([[[0.0, 0, 0]], [[0, float("nan"), 0]]]), ValueError, "batch of clouds: cloud 1 has NaN"),
        (torch.tensor([[[0.0, float("inf"), 0]]]), ValueError, "cloud 0"),
    ],
)
def test_bad_clouds_are_named(x, error, message):
    flow = small()
    for function in (flow.encode, flow.log_prob, flow.reconstruct):
        with pytest.raises(error, match=message):
            function(x)


def test_what_an_auto_encoder_cannot_do():
    flow, x = small(deterministic=True), clouds()
    for call in (
        lambda: flow.sample(2),
        lambda: flow.interpolate(x[0], x[1]),
        lambda: flow.importance_weighted_bound(x),
    ):
        with pytest.raises(ValueError, match="latent flow"):
            call()
    assert flow.interpolate(x[0], x[1], 3, 5, "z").shape == (3, 5, 3)
    terms = flow.elbo(x)
    assert not terms.prior.any() and not terms.entropy.any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda flow: flow.decode(torch.zeros(2, 4)), r"codes of shape \(B, 5\), got \(2, 4\)"),
        (lambda flow: flow.decode(torch.zeros(2, 5), 0), "at least 1 point"),
        (lambda flow: flow.sample(0), "at least 1 sample"),
        (lambda flow: flow.sample(1, temperature=-1.0), "temperature"),
        (lambda flow: flow.set_normalization(torch.zeros(1, 1, 3), torch.zeros(1, 1, 1)), "std > 0"),
        (lambda flow: flow.interpolate(clouds()[0], clouds()[1], 1), "at least 2 steps"),
        (lambda flow: flow.interpolate(clouds()[0], clouds()[1], space="x"), "space"),
        (lambda flow: PointFlow(num_blocks=0), "num_blocks"),
        (lambda flow: PointFlow(zdim=0), "zdim=0"),
        (lambda flow: PointFlow(soft_noise=-1.0), "soft_noise"),
        (lambda flow: flow.elbo(clouds(), points=0), "at least 1 point"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(small())

"""`fit_posterior` on densities whose answer is known, and on those that cannot be fitted."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch.distributions import AffineTransform, ExpTransform, Normal, TransformedDistribution, kl_divergence

from flowsuite.core.targets import U1, U2, Banana
from flowsuite.core.variational import FlowDistribution, NamedLogDensity, Posterior, fit_posterior
from flowsuite.core.variational.checks import flat_directions, tail_warning

QUICK = {"steps": 150, "batch_size": 64, "samples": 2000, "lr": 0.05, "seed": 0, "progress": False}


def normal_density(z):
    return Normal(1.0, 0.5).log_prob(z).sum(1) + 2.5


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def test_a_gaussian_is_found_and_its_normaliser():
    q = fit_posterior(normal_density, 3, "gaussian", **QUICK)
    report = q.report
    assert abs(report.elbo - 2.5) < 0.01 and abs(report.log_evidence - 2.5) < 0.01
    assert report.ess > 0.97 and report.pareto_k < 0.7 and not report.warnings
    assert report.reverse_kl is None
    layer = q.flow.layers[0]
    torch.testing.assert_close(layer.mean.detach(), torch.ones(3), atol=0.05, rtol=0)
    torch.testing.assert_close(layer.log_scale.detach().exp(), torch.full((3,), 0.5), atol=0.05, rtol=0)
    assert "ELBO 2.4" in str(report) and "Pareto k" in str(report)


@pytest.mark.parametrize("kind", ["planar", "spline"])
def test_one_dimension(kind):
    """A skewed density, log Gamma(2)'s: normaliser 0."""
    small = {"hidden_features": 16} if kind == "spline" else {}
    with warnings.catch_warnings():  # the left tail is longer than any of these flows has
        warnings.filterwarnings("ignore", "Pareto k")
        q = fit_posterior(lambda z: (2 * z - z.exp()).squeeze(1), 1, Posterior(1, kind, 1, options=small), **QUICK)
    assert abs(q.report.log_evidence) < 0.05 and q.report.elbo > -0.1
    assert q.sample((5,)).shape == (5, 1)


def test_layers_beat_a_gaussian_on_a_banana():
    target = Banana(2, 0.3, 1.5)
    settings = QUICK | {"steps": 200, "lr": 0.03}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gaussian = fit_posterior(target, 2, "gaussian", **settings).report
        planar = fit_posterior(target, 2, "planar", n_layers=4, **settings).report
    assert planar.reverse_kl < 0.5 * gaussian.reverse_kl
    for report in (gaussian, planar):
        assert abs(report.log_normalizer) < 1e-3 and report.mass > 0.99
        assert abs(report.elbo + report.reverse_kl) < 5 * report.elbo_error + 0.02


@pytest.mark.parametrize("estimator", ["stl", "iwae", "dreg", "forward"])
def test_every_estimator_fits(estimator):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Pareto k")
        q = fit_posterior(normal_density, 2, "planar", n_layers=1, estimator=estimator, **QUICK)
    assert abs(q.report.log_evidence - 2.5) < 0.05
    if estimator == "stl":
        assert abs(q.report.elbo - 2.5) < 0.05


def test_annealing_ends_at_the_density_itself():
    q = fit_posterior(normal_density, 2, "gaussian", anneal_steps=60, **QUICK)
    assert abs(q.report.elbo - 2.5) < 0.02
    assert q.history[0][1] < q.history[-1][1] and q.history[-1][0] == 150


def test_a_seed_decides_everything_and_leaves_the_generator_alone():
    settings = QUICK | {"steps": 5}
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Pareto k")
        a, b = (fit_posterior(normal_density, 2, "planar", n_layers=2, **settings) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for p, q in zip(a.flow.parameters(), b.flow.parameters(), strict=True):
        assert torch.equal(p, q)


def test_progress_is_on_stderr(capsys):
    fit_posterior(normal_density, 2, "gaussian", **(QUICK | {"progress": True}))
    shown = capsys.readouterr()
    assert not shown.out and "fitting" in shown.err and "150/150" in shown.err


def test_a_posterior_of_ones_own_is_fitted_in_place_in_its_precision():
    flow = Posterior(2, "planar", 2).double()
    q = fit_posterior(normal_density, 2, flow, **QUICK)
    assert q.flow is flow and q.sample((3,)).dtype == torch.float64
    again = fit_posterior(normal_density, 2, flow, **QUICK)
    assert again.report.elbo > q.report.elbo - 0.05


def test_the_report_integrates_over_the_support_of_the_density():
    q = fit_posterior(U1(), 2, "gaussian", **(QUICK | {"steps": 20}))
    assert q.report.window == U1().support
    assert abs(q.report.log_normalizer - U1().log_normalizer()) < 1e-4
    near = fit_posterior(U1(), 2, "gaussian", window=(-3, 3, -3, 3), **(QUICK | {"steps": 20}))
    assert near.report.window == (-3, 3, -3, 3) and near.report.mass < 1


# What cannot be fitted.


def nan_far_out(z):
    return torch.where(z[:, 0] > 1.5, math.nan, 3 * z[:, 0]) - z.square().sum(1) * 0.01


@pytest.mark.parametrize(
    ("density", "message"),
    [
        (lambda z: z.sum(1, keepdim=True), r"shape \(64,\), got \(64, 1\)"),
        (lambda z: z.sum(), r"shape \(64,\), got \(\)"),
        (lambda z: 3.0, r"shape \(64,\), got float"),
        (lambda z: (z.sum(1) > 0).long(), "floating-point"),
        (lambda z: z.sum(1) * math.nan, r"is nan at z = \[.*\], and not finite at 64 of 64 points"),
        (lambda z: torch.where(z[:, 0] > 0, -math.inf, z[:, 0]), r"is -inf at z"),
        (lambda z: z @ torch.zeros(5), r"failed on points of shape \(64, 2\): RuntimeError: "),
        (lambda z: z.detach().sum(1), "no gradient"),
        (U2(), r"improper"),
    ],
)
def test_bad_densities_are_one_line_with_figures(density, message):
    expected = UserWarning if isinstance(density, U2) else ValueError
    with pytest.raises(expected, match=message) as caught:
        fit_posterior(density, 2, "gaussian", **QUICK)
    assert "\n" not in str(caught.value)


def test_nan_on_the_way_says_where_and_leaves_the_last_good_parameters():
    flow = Posterior(2, "gaussian")
    with torch.no_grad():
        flow.layers[0].mean.fill_(-3.0)
        flow.layers[0].log_scale.fill_(-1.0)
    with pytest.raises(ValueError, match=r"is nan at z = \[.*between steps \d+ and \d+"):
        fit_posterior(nan_far_out, 2, flow, **QUICK)
    assert all(p.isfinite().all() for p in flow.parameters())


def test_a_density_that_grows_without_end_is_stopped():
    with pytest.raises(RuntimeError, match=r"run away by step \d+: spread"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_posterior(lambda z: z[:, 0].abs() - z[:, 1].square(), 2, "gaussian", **(QUICK | {"lr": 2.0}))


def test_an_improper_density_is_reported_with_figures():
    with pytest.warns(UserWarning) as caught:
        q = fit_posterior(U2(), 2, "gaussian", **QUICK)
    lines = [str(warning.message) for warning in caught]
    assert any("improper along z[0]" in line for line in lines)
    assert any("drift outwards" in line for line in lines)
    assert q.report.warnings == lines


def test_proper_densities_with_heavy_tails_or_ridges_are_not_suspected():
    torch.manual_seed(0)
    z = torch.randn(256, 2)
    cauchy = torch.distributions.Cauchy(0.0, 1.0)
    for density in (lambda z: cauchy.log_prob(z).sum(1), U1(), U2("box"), U2("quartic"), Banana()):
        assert flat_directions(density, z) == []
    assert [line.tolist() for line, _ in flat_directions(U2(), z)] == [[1, 0]]
    assert [line.tolist() for line, _ in flat_directions(lambda z: -z[:, 0].square(), z)] == [[0, 1]]


def test_a_density_that_is_flat_along_a_slanted_line_is_noticed():
    torch.manual_seed(0)
    ((line, fall),) = flat_directions(lambda z: -0.5 * (z[:, 0] - z[:, 1]).square(), torch.randn(256, 2))
    torch.testing.assert_close(line.abs(), torch.full((2,), 0.5).sqrt(), rtol=1e-3, atol=0)
    assert abs(fall) < 0.1 and "the direction [" in tail_warning([(line, fall)])


def test_densities_that_fail_far_out_are_fitted():
    """A scale of torch.distributions becomes 0 there, which its checks refuse."""

    def hierarchical(z):
        return Normal(0.0, 1.0).log_prob(z[:, 0]) + Normal(0.0, z[:, 0].exp()).log_prob(z[:, 1])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a Gaussian is no good fit of it
        assert fit_posterior(hierarchical, 2, "gaussian", **QUICK).report.elbo < 0
        named = NamedLogDensity(lambda v: Normal(0.0, v["s"].exp()).log_prob(v["x"]) - v["s"] ** 2, {"s": (), "x": ()})
        assert math.isfinite(fit_posterior(named, 2, "gaussian", **QUICK).report.elbo)


def test_figures_that_are_not_finite_are_noted():
    def broken(z):
        return torch.where(z[:, 0].abs() > 3.5, math.nan, -0.5 * z.square().sum(1))

    with pytest.warns(UserWarning):
        q = fit_posterior(broken, 2, "gaussian", **(QUICK | {"steps": 1}))
    notes = " ".join(q.report.warnings)
    assert "is nan at z = [" in notes and "samples of the report" in notes
    assert "divergences by quadrature are" in notes


def test_samples_that_draw_together_are_noted():
    """The integral of 1 / |z|^6 is infinite at 0."""
    with pytest.warns(UserWarning):
        q = fit_posterior(lambda z: -3 * z.square().sum(1).log(), 2, "gaussian", **(QUICK | {"steps": 400}))
    assert any("draw together without end" in line for line in q.report.warnings)


def test_annealing_that_is_not_over_is_noted():
    with pytest.warns(UserWarning, match=r"beta was 0.51 at the end: anneal_steps of 200 are more than the 100 steps"):
        fit_posterior(normal_density, 2, "gaussian", **(QUICK | {"steps": 100, "anneal_steps": 200}))


def test_a_collapsed_posterior_is_reported_with_figures():
    flow = Posterior(1, "gaussian")
    with torch.no_grad():
        flow.layers[0].log_scale.fill_(-13.0)
    with pytest.warns(UserWarning) as caught:
        q = fit_posterior(lambda z: -0.5 * (1e6 * z).square().squeeze(1), 1, flow, **(QUICK | {"lr": 1e-7}))
    assert any("collapsed to a point in 1 of 1 coordinates: z[0] has mean" in str(w.message) for w in caught)
    assert any("collapsed" in line for line in q.report.warnings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim must be a whole number of at least 1"),
        ({"flow": "planer"}, "unknown kind of posterior 'planer'"),
        ({"flow": Posterior(3, "planar", 1)}, "expected a Posterior of 2 dimensions"),
        ({"flow": Posterior(2, "planar", 1, context_features=2)}, "2 context features"),
        ({"flow": Posterior(2, "planar", 1), "n_layers": 3}, "n_layers"),
        ({"flow": torch.nn.Linear(2, 2)}, "got Linear"),
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "whole number"),
        ({"n_layers": 0}, "n_layers must be a whole number of at least 1, got 0"),
        ({"window": (1, 0, 0, 1)}, "left < right"),
        ({"window": (0, 1, 2)}, "left < right"),
        ({"dim": 3, "window": (0, 1, 0, 1)}, "window is for two dimensions"),
        ({"lr": -1.0}, "lr"),
        ({"estimator": "reinforce"}, "estimator must be one of"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_posterior(normal_density, **({"dim": 2} | QUICK | arguments))


# As a distribution.


def test_distribution_shapes_and_values():
    q = FlowDistribution(Posterior(2, "planar", 2).double())
    assert q.event_shape == (2,) and q.batch_shape == () and q.has_rsample
    z = q.rsample((3, 4))
    assert z.shape == (3, 4, 2) and z.requires_grad and not q.sample((3,)).requires_grad
    assert q.sample().shape == (2,)
    log_q = q.log_prob(z)
    assert log_q.shape == (3, 4) and q.log_prob(z[0, 0]).shape == ()
    torch.testing.assert_close(log_q[1, 2], q.log_prob(z[1, 2]))
    z, both = q.rsample_and_log_prob((5,))
    torch.testing.assert_close(q.log_prob(z), both)


def test_distribution_of_a_context():
    flow, context = Posterior(2, "planar", 2, context_features=3).double(), torch.randn(4, 3, dtype=torch.float64)
    q = FlowDistribution(flow, context)
    assert q.batch_shape == (4,)
    z, log_q = q.rsample_and_log_prob((5, 6))
    assert z.shape == (5, 6, 4, 2) and log_q.shape == (5, 6, 4)
    torch.testing.assert_close(q.log_prob(z), log_q)
    point = torch.zeros(2, dtype=torch.float64)
    torch.testing.assert_close(q.log_prob(point), flow.log_prob(point.expand(4, 2), context))
    with pytest.raises(ValueError, match=r"context of shape \(N, 3\)"):
        FlowDistribution(flow)
    with pytest.raises(ValueError, match="context of shape none"):
        FlowDistribution(Posterior(2, "planar", 1), context)


def test_distribution_within_torch_distributions():
    torch.manual_seed(0)
    q = FlowDistribution(Posterior(2, "radial", 2), validate_args=True)  # zuko switches the default off
    moved = TransformedDistribution(q, [AffineTransform(1.0, 2.0, event_dim=1), ExpTransform()])
    y = moved.rsample((6,))
    x = (y.log() - 1) / 2
    expected = q.log_prob(x) - 2 * math.log(2) - y.log().sum(-1)
    torch.testing.assert_close(moved.log_prob(y), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="support"):
        q.log_prob(torch.full((2,), math.nan))
    with pytest.raises(NotImplementedError):
        kl_divergence(q, q)


# From a probabilistic programming language.


def test_named_density():
    def potential(values):
        return 0.5 * values["theta"].square().sum() - Normal(values["mu"], 1.0).log_prob(torch.tensor(0.5))

    density = NamedLogDensity(potential, {"mu": (), "theta": (2, 3)}, sign=-1)
    assert density.dim == 7
    z = torch.randn(4, 7)
    named = density.unpack(z)
    assert named["mu"].shape == (4,) and named["theta"].shape == (4, 2, 3)
    expected = Normal(z[:, 0], 1.0).log_prob(torch.tensor(0.5)) - 0.5 * z[:, 1:].square().sum(1)
    torch.testing.assert_close(density(z), expected)
    q = fit_posterior(density, density.dim, "gaussian", **QUICK)
    assert abs(q.report.elbo - 6 * 0.5 * math.log(2 * math.pi)) < 0.05
    assert density.unpack(q.sample((2, 5)))["theta"].shape == (2, 5, 2, 3)
    with pytest.raises(ValueError, match="sign"):
        NamedLogDensity(potential, {"mu": ()}, sign=0)
    with pytest.raises(ValueError, match="7 numbers"):
        density.unpack(torch.zeros(3, 6))

"""Decisions about one atom or bond: their laws, Jacobians, noise, and the shortcuts against plain loops."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from flowsuite.molecules.decisions import DECISIONS, AffineDecision, CategoricalDecision, ModuloDecision, SplineDecision
from flowsuite.molecules.decisions.categorical import gumbel_noise_for, gumbel_of_normal, normal_of_gumbel
from flowsuite.molecules.decisions.modulo import circular
from flowsuite.molecules.prefix import Steps
from flowsuite.molecules.rgcn import Encoded

D, STATES, ROWS, E = 6, 5, 11, 40
ENCODER = SimpleNamespace(atom_features=D, graph_features=D)
CONTINUOUS = [
    (AffineDecision, {"scale": "exp"}),
    (AffineDecision, {"scale": "exp", "bounded": False}),
    (AffineDecision, {"scale": "sigmoid", "sigmoid_shift": 1.5}),
    (AffineDecision, {"scale": "softplus"}),
    (AffineDecision, {"layers": 1}),
    (SplineDecision, {}),
    (SplineDecision, {"layers": 1, "bins": 4}),
]


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def situation(bond: bool, classes: int) -> tuple[Encoded, Steps]:
    encoded = Encoded(torch.randn(ROWS, D), torch.randn(STATES, D), torch.randint(ROWS, (STATES,)), torch.randn(D))
    state = torch.randint(STATES, (E,))
    target, molecule = torch.randint(classes, (E,)), torch.zeros_like(state)
    if not bond:
        return encoded, Steps(target, state, molecule)
    distance = torch.tensor([1, 2, 30, 100]).repeat(E // 4)
    return encoded, Steps(target, state, molecule, torch.randint(ROWS + 1, (E,)), None, distance, 1 + state * 5)


def made(cls, classes=4, bond=True, spread=0.5, **options):
    decision = cls(classes, ENCODER, bond, **{"hidden": 8, **options})
    spread = min(spread, 0.15) if cls is SplineDecision else spread  # beyond, bins as steep as they can be
    for parameter in decision.parameters():
        parameter.data.add_(spread * torch.randn_like(parameter))
    return decision


def prepared(decision, bond=True):
    encoded, steps = situation(bond, decision.classes)
    return decision.prepare(encoded, steps).detach(), steps.target


@pytest.mark.parametrize("cls", [CategoricalDecision, ModuloDecision])
@pytest.mark.parametrize("bond", [False, True])
def test_discrete_probabilities_sum_to_one(cls, bond):
    decision = made(cls, classes=5, bond=bond)
    params, target = prepared(decision, bond)
    every = torch.stack([decision.log_prob(params, torch.full_like(target, k)) for k in range(5)], 1)
    torch.testing.assert_close(every.exp().sum(1), torch.ones(E))
    assert every.std() > 0.1
    torch.testing.assert_close(decision.log_probs(params), every)


@pytest.mark.parametrize("cls", [CategoricalDecision, ModuloDecision])
def test_decoding_has_the_law_of_log_prob(cls):
    decision, n = made(cls), 40_000
    params, _ = prepared(decision)
    many = params[:1].expand(n, *params.shape[1:])
    drawn = decision.decode(many, torch.randn(n, 4)).argmax(1)
    expected = torch.stack([decision.log_prob(params[:1], torch.tensor([k])) for k in range(4)]).exp().flatten()
    assert stats.chisquare(torch.bincount(drawn, minlength=4).numpy(), (expected * n).detach().numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("cls", "options"), CONTINUOUS)
def test_log_determinant_is_the_jacobians(cls, options):
    decision = made(cls, **options)
    params, target = prepared(decision)
    y = decision.dequantize(target)
    z, ladj = decision.transform(params, y)
    for row in range(0, E, 5):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, row=row: decision.transform(params[row : row + 1], v[None])[0][0], y[row]
        )
        torch.testing.assert_close(ladj[row], torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(decision.invert(params, z), y, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("cls", "options"), CONTINUOUS)
def test_bound_is_one(cls, options):
    """`E_u[exp(log_prob)]` is the mass of the box of a class: over all classes together at most 1."""
    decision = made(cls, spread=0.2, **options)
    params, target = prepared(decision)
    params, target = params[:1].expand(5000, *params.shape[1:]), target[:1]
    mass = sum(decision.log_prob(params, target.new_full((5000,), k)).exp().mean() for k in range(4))
    assert 0 < mass.item() < 1.05


@pytest.mark.parametrize("name", DECISIONS)
@pytest.mark.parametrize("bond", [False, True])
def test_noise_decodes_to_the_class(name, bond):
    decision = made(DECISIONS[name], bond=bond)
    params, target = prepared(decision, bond)
    for dtype in (torch.float64, torch.float32):
        noise = decision.to(dtype).encode(params.to(dtype), target)
        assert noise.isfinite().all()
        assert torch.equal(decision.decode(params.to(dtype), noise).argmax(1), target)


def test_gumbel_and_normal_are_inverse():
    noise = torch.linspace(-6, 8, 200)
    torch.testing.assert_close(normal_of_gumbel(gumbel_of_normal(noise)), noise, rtol=1e-6, atol=1e-6)
    drawn = gumbel_of_normal(torch.randn(20_000)).numpy()
    assert stats.kstest(drawn, "gumbel_r").pvalue > 1e-3


def test_gumbel_noise_of_drawn_classes_is_standard_normal():
    logits = torch.randn(1, 4).mul(1.5).expand(20_000, 4)
    target = torch.distributions.Categorical(logits=logits).sample()
    noise = gumbel_noise_for(logits, target)
    for column in noise.unbind(1):
        assert stats.kstest(column.numpy(), "norm").pvalue > 1e-3
    assert (torch.corrcoef(noise.T) - torch.eye(4)).abs().max() < 0.04
    assert torch.equal((logits + gumbel_of_normal(noise)).argmax(1), target)


def test_gumbel_noise_of_certain_classes_is_finite():
    logits = torch.tensor([[60.0, 0.0, -60.0]], dtype=torch.float32).expand(300, 3)
    for k in range(3):
        assert gumbel_noise_for(logits, torch.full((300,), k)).isfinite().all()


def test_circular_sum():
    a, b = torch.rand(3, 5), torch.rand(3, 5)
    expected = torch.zeros(3, 5)
    for i in range(5):
        for j in range(5):
            expected[:, (i + j) % 5] += a[:, i] * b[:, j]
    torch.testing.assert_close(circular(a, b), expected)


def test_modulo_shifts():
    decision = made(ModuloDecision, classes=5, layers=3)
    params, target = prepared(decision)
    shift = params.argmax(2).sum(1)
    base = decision.base.log_softmax(0)
    torch.testing.assert_close(decision.log_prob(params, target), base[(target - shift) % 5])
    z = torch.randn(E, 5)
    assert torch.equal(decision.rolled(params, z).argmax(1), (z.argmax(1) + shift) % 5)


def test_modulo_gradient_reaches_the_shifts():
    decision = made(ModuloDecision, layers=3)
    params, target = prepared(decision)
    params.requires_grad_()
    decision.log_prob(params, target).sum().backward()
    assert (params.grad.abs().sum((0, 2)) > 0).all() and decision.base.grad.abs().sum() > 0


def plain_affine(decision, condition, y):
    """The L layers one after another, from the spec's equations: `(z, log-det)`."""
    ladj = torch.zeros(len(y))
    for layer in range(decision.layers):
        rows = slice(layer * decision.hidden, (layer + 1) * decision.hidden)
        h = condition @ decision.first.linear.weight[rows].T + decision.first.linear.bias[rows]
        if decision.scale == "softplus":
            h = F.relu(h) @ decision.middle[layer] + decision.middle_bias[layer]
        out = torch.tanh(h) @ decision.last[layer] + decision.last_bias[layer]
        w = decision.rescale[layer]
        if decision.scale == "exp":
            a, t = out.chunk(2, 1)
            s = torch.exp(torch.exp(w) * torch.tanh(a))
            y = (y + t) * s
        elif decision.scale == "sigmoid":
            a, t = (torch.exp(w) * out).chunk(2, 1)
            s = torch.exp(decision.rescale_sigmoid[layer]) * torch.sigmoid(a + decision.sigmoid_shift)
            y = y * s + t
        else:
            a, t = out.chunk(2, 1)
            s = torch.exp(w) * F.softplus(a)
            y = (y + t) * s
        ladj = ladj + s.log().sum(1)
    return y, ladj


@pytest.mark.parametrize("scale", ["exp", "sigmoid", "softplus"])
@pytest.mark.parametrize("layers", [1, 2, 7])
@pytest.mark.parametrize("bond", [False, True])
def test_folded_affine_layers_are_the_layers(scale, layers, bond):
    decision = made(AffineDecision, bond=bond, scale=scale, layers=layers, bounded=False)
    encoded, steps = situation(bond, 4)
    y = decision.dequantize(steps.target)
    z, ladj = decision.transform(decision.prepare(encoded, steps), y)
    condition = encoded.graphs[steps.state]
    if bond:
        atoms = torch.cat((encoded.atoms, encoded.padding[None]))
        condition = torch.cat((atoms[steps.earlier], atoms[encoded.newest[steps.state]], condition), 1)
    expected, expected_ladj = plain_affine(decision, condition, y)
    torch.testing.assert_close(z, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ladj, expected_ladj, rtol=1e-9, atol=1e-9)


def test_affine_starts_as_published():
    for scale, start in (("exp", 1.0), ("sigmoid", torch.sigmoid(torch.tensor(2.0)).item()), ("softplus", math.log(2))):
        decision = AffineDecision(4, ENCODER, False, layers=1, hidden=8, scale=scale)
        params, target = prepared(decision, bond=False)
        y = decision.dequantize(target)
        torch.testing.assert_close(decision.transform(params, y)[0], start * y, rtol=1e-6, atol=1e-6)


def test_bounded_scale_stays_finite():
    decision = made(AffineDecision, layers=12).float()
    decision.rescale.data.fill_(50.0)
    params = prepared(decision.double())[0].float()
    assert decision.float().log_prob(params, torch.zeros(E, dtype=torch.long)).isfinite().all()


def test_prior_variance_scales_the_noise():
    shared = torch.nn.Parameter(torch.zeros(1))
    decision = made(AffineDecision, prior_log_var=shared)
    shared.data.fill_(0.7)
    params, target = prepared(decision)
    noise = decision.encode(params, target)
    assert torch.equal(decision.decode(params, noise).argmax(1), target)
    z, ladj = decision.transform(params, decision.dequantize(target))
    normal = torch.distributions.Normal(0.0, math.exp(0.35))
    torch.testing.assert_close(decision.log_density(z, ladj), normal.log_prob(z).sum(1) + ladj)


@pytest.mark.parametrize("name", DECISIONS)
def test_temperature_zero_ignores_the_noise(name):
    decision = made(DECISIONS[name])
    params, _ = prepared(decision)
    one, other = (decision.decode(params, torch.randn(E, 4), 0.0) for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (AffineDecision, {"scale": "cosine"}, "cosine"),
        (AffineDecision, {"dequantization": 1.0}, "dequantization"),
        (SplineDecision, {"classes": 1}, "at least 2 classes"),
    ],
)
def test_bad_arguments(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(**{"classes": 4, "encoder": ENCODER, "bond": False, **options})

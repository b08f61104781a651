"""Every vector field: values and hand-written derivatives against reverse-mode automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from flowsuite.core.divergence import DIVERGENCES
from flowsuite.core.ffjord import FFJORD
from flowsuite.core.layers.continuous import CNF, record_solves
from flowsuite.core.nets.conv_field import ConvField
from flowsuite.core.nets.field_layers import CONV_FIELD_LAYERS, FIELD_LAYERS
from flowsuite.core.nets.low_rank_field import LowRankField
from flowsuite.core.nets.mlp_field import MLPField
from flowsuite.core.nets.planar_field import PlanarField
from flowsuite.core.nets.vector_field import VectorField, brute_force_divergence, reverse_vjp
from flowsuite.core.ode import FixedGrid

EXACT = {"rtol": 1e-12, "atol": 1e-12}
POINTS = [(3,), (4, 3)]
NO_CONTEXT = ("blend", "hyper")


@dataclass
class Case:
    make: Callable[[], VectorField]
    shapes: list[tuple[int, ...]]
    context: int = 0


CASES = {
    **{f"mlp-{name}": Case(lambda n=name: MLPField(3, (6, 5), n), POINTS) for name in FIELD_LAYERS},
    **{
        f"mlp-{name}-context": Case(lambda n=name: MLPField(3, (6, 5), n, context_features=2), POINTS, 2)
        for name in FIELD_LAYERS
        if name not in NO_CONTEXT
    },
    **{
        f"mlp-{len(hidden)}-hidden-{name}": Case(lambda h=hidden, n=name: MLPField(3, h, n, residual=True), POINTS)
        for hidden in [(), (6,), (6, 5, 4), (6, 5, 4, 5)]
        for name in ("concatsquash", "hyper")
    },
    "low-rank": Case(lambda: LowRankField(3, (6, 5), rank=2), POINTS, 70),
    "low-rank-squash": Case(lambda: LowRankField(3, (6,), 2, "concatsquash", "tanh", True), POINTS, 45),
    "planar": Case(lambda: PlanarField(3, 7, 5), POINTS),
    **{
        f"conv-{name}": Case(lambda n=name: ConvField((2, 4, 6), (3, 4), (1, 2, -2), n, "tanh"), [(2, 4, 6)])
        for name in CONV_FIELD_LAYERS
    },
    **{
        f"conv-{name}-context": Case(
            lambda n=name: ConvField((2, 4, 2), (3, 4), (2, 1, -2), n, context_features=2, time_frequencies=2),
            [(2, 4, 2)],
            2,
        )
        for name in CONV_FIELD_LAYERS
        if name not in NO_CONTEXT
    },
    "conv-linear": Case(lambda: ConvField((2, 3, 3), (), residual=True), [(2, 3, 3)]),
    "conv-encoder-decoder": Case(lambda: ConvField((1, 4, 8), (2, 3, 3, 2), (2, 2, 1, -2, -2)), [(1, 4, 8)]),
}
TIMES = {"scalar": torch.tensor(0.37), "each": torch.tensor([0.1, 0.9, 0.4, 0.6])}

every_field = pytest.mark.parametrize(
    ("case", "shape"), [pytest.param(c, s, id=f"{n}-{len(s)}d") for n, c in CASES.items() for s in c.shapes]
)
every_time = pytest.mark.parametrize("time", TIMES)


def build(case: Case) -> VectorField:
    torch.manual_seed(0)
    field = case.make().double()
    with torch.no_grad():
        for p in field.parameters():
            p.add_(0.4 * torch.randn_like(p))
    return field


def inputs(case: Case, shape: tuple[int, ...], time: str):
    torch.manual_seed(1)
    x, v = torch.randn(2, 4, *shape).double()
    context = 0.5 * torch.randn(4, case.context).double() if case.context else None
    return TIMES[time].double(), x, v, context


@every_field
@every_time
def test_derivatives_are_those_of_autograd(case, shape, time):
    field, (t, x, v, context) = build(case), inputs(case, shape, time)
    condition = field.condition(context)
    value = field(t, x, condition)
    assert value.shape == x.shape
    expected = torch.func.jvp(lambda y: field(t, y, condition), (x,), (v,))
    for got, want in zip(field.jvp(t, x, v, condition), expected, strict=True):
        torch.testing.assert_close(got, want, **EXACT)
    for got, want in zip(field.vjp(t, x, v, condition), reverse_vjp(field, t, x, v, condition), strict=True):
        torch.testing.assert_close(got, want, **EXACT)
    exact = field.exact_divergence(t, x, condition)
    assert exact[1].shape == x.shape[: x.ndim - field.event_dims]
    for got, want in zip(exact, brute_force_divergence(field, t, x, condition), strict=True):
        torch.testing.assert_close(got, want, **EXACT)


@every_field
def test_one_time_for_all_is_each_with_the_same(case, shape):
    field, (t, x, _, context) = build(case), inputs(case, shape, "scalar")
    condition = field.condition(context)
    torch.testing.assert_close(field(t.expand(4), x, condition), field(t, x, condition), **EXACT)
    for i in range(4):
        row = field.condition(None if context is None else context[i : i + 1])
        torch.testing.assert_close(field(t, x[i : i + 1], row), field(t, x, condition)[i : i + 1], **EXACT)


@every_field
@torch.no_grad()
def test_products_keep_no_graph_and_gradients_reach_every_parameter(case, shape):
    field, (t, x, v, context) = build(case), inputs(case, shape, "scalar")
    for method in (field.jvp, field.vjp):
        assert not any(out.requires_grad for out in method(t, x, v, field.condition(context)))
    with torch.enable_grad():
        f, divergence = field.exact_divergence(t, x, field.condition(context))
        (f.square().sum() + divergence.square().sum()).backward()
    for name, p in field.named_parameters():
        assert p.grad is not None and p.grad.any(), f"{name} got no gradient"


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("mlp-0-hidden-concatsquash", "mlp-0-hidden-hyper")])
@pytest.mark.parametrize("divergence", ["bottleneck", "bottleneck_rademacher"])
@torch.no_grad()
def test_bottleneck_estimate_is_unbiased(name, divergence):
    """All standard basis vectors of the code as probes: their estimates add up to the trace."""
    case = CASES[name]
    if name == "conv-linear":
        with pytest.raises(ValueError, match="has no bottleneck"):
            build(case).code_estimate(TIMES["scalar"], torch.zeros(4, *case.shapes[0]).double(), None)
        return
    for shape in case.shapes:
        field, (t, x, _, context) = build(case), inputs(case, shape, "scalar")
        condition, estimator = field.condition(context), DIVERGENCES[divergence]
        probe = estimator.probe(x, field)
        residual = x.shape[x.ndim - field.event_dims :].numel() if field.residual else 0
        event = probe.shape[x.ndim - field.event_dims :]
        total = 0
        for one in torch.eye(event.numel()).double().view(-1, *event):
            f, part, _ = estimator(field, t, x, condition, one.expand(probe.shape))
            total = total + part + residual
        value, trace = field.exact_divergence(t, x, condition)
        torch.testing.assert_close(f, value, **EXACT)
        torch.testing.assert_close(total - residual, trace, rtol=1e-11, atol=1e-11)


@torch.no_grad()
def test_bottleneck_has_lower_variance_in_a_solve():
    torch.manual_seed(0)
    cnf = CNF(MLPField(12, (24, 2, 24), layer="concat"), solver=FixedGrid(steps=4)).double()
    x = torch.randn(1, 12).double().expand(4000, 12)
    exact = cnf.solve(x[:1], divergence="exact").ladj
    spread = {}
    for name in ("hutchinson", "bottleneck"):
        with record_solves(("jacobian",)) as log:
            ladj = cnf.solve(x, divergence=name).ladj
        assert (log.penalty("jacobian") > 0).all()
        assert abs(ladj.mean() - exact) < 4 * ladj.std() / len(x) ** 0.5
        spread[name] = ladj.std()
    assert spread["bottleneck"] < 0.7 * spread["hutchinson"]


def test_hyper_layers_start_as_published():
    torch.manual_seed(0)
    net = MLPField(40, (40,), "hyper").layers[0].hypernet.net
    assert not net[0].weight.any() and not net[2].weight.any()
    assert 0.008 < net[2].bias.std() < 0.012


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvField((1, 4, 4), (2,), (1, 3)), "expected 2 strides, one a layer, of 1, 2, -2"),
        (lambda: ConvField((1, 4, 4), (2,), (1,)), "expected 2 strides"),
        (lambda: ConvField((1, 7, 7), (2,), (2, -2)), "take images of 7x7 to 6x6"),
        (lambda: ConvField((1, 4, 4), (2,), layer="gated"), "unknown layer type 'gated'"),
        (lambda: ConvField((4, 4), (2,)), r"expected shape \(C, H, W\)"),
        (lambda: MLPField(2, layer="blend", context_features=1), "a blend layer takes no context"),
        (lambda: MLPField(2, layer="blend", time_frequencies=2), "a blend layer takes the bare time"),
        (lambda: MLPField(2, layer="hyper", context_features=1), "a hyper layer takes no context"),
        (lambda: FFJORD(2, layer="blend"), "blend layers need end_time=1 and train_end_time=False, got 1 and True"),
        (lambda: LowRankField(2, (3,), rank=0), "a rank of at least 1"),
        (lambda: PlanarField(2, width=0), "width and hidden must be at least 1"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_states_are_named():
    with pytest.raises(ValueError, match=r"ConvField expected states \(B, 1, 4, 4\), got \(2, 1, 4, 5\)"):
        ConvField((1, 4, 4), (2,))(torch.tensor(0.0), torch.zeros(2, 1, 4, 5))
    with pytest.raises(ValueError, match=r"PlanarField expected states \(..., 3\), got \(2, 4\)"):
        PlanarField(3)(torch.tensor(0.0), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"LowRankField expected a context of shape"):
        LowRankField(3, (4,), 2).condition(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="divergence 'bottleneck' needs a field with hidden layers"):
        CNF(Plain(), divergence="bottleneck")(torch.zeros(2, 3))


class Plain(VectorField):
    def forward(self, t, x, condition=None):
        return -x

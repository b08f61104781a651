"""The continuous layer against brute force, against itself with other solvers, and under load."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from flowsuite.core.divergence import DIVERGENCES
from flowsuite.core.layers.continuous import CNF, record_solves
from flowsuite.core.nets.mlp_field import MLPField
from flowsuite.core.nets.vector_field import VectorField
from flowsuite.core.ode import Adaptive, FixedGrid, SolverError

SOLVERS = {
    "adjoint": Adaptive(rtol=1e-10, atol=1e-10),
    "adjoint-full-norm": Adaptive(rtol=1e-10, atol=1e-10, seminorm=False),
    "backprop": Adaptive(rtol=1e-10, atol=1e-10, adjoint=False),
    "dopri8": Adaptive("dopri8", rtol=1e-10, atol=1e-10),
    "rk4": FixedGrid("rk4", steps=150),
    "rk4-plain": FixedGrid("rk4", steps=150, checkpoint=False),
    "rk4-38": FixedGrid("rk4_38", step_size=0.006),
}


def make(solver=None, context=2, **options) -> CNF:
    torch.manual_seed(0)
    field = MLPField(3, (6, 5), context_features=context)
    with torch.no_grad():
        for p in field.parameters():
            p.mul_(1.5)
    return CNF(field, end_time=0.8, solver=solver, **options).double()


def data():
    torch.manual_seed(1)
    return torch.randn(5, 3).double(), torch.randn(5, 2).double()


def gradients(cnf: CNF) -> list[torch.Tensor]:
    """Of everything: the state, the context (through a layer of its own), the parameters, the end time."""
    x, context = (tensor.requires_grad_() for tensor in data())
    z, ladj = cnf(x, context.tanh())
    loss = (z.square().sum(1) - ladj).mean()
    return [loss, *torch.autograd.grad(loss, [x, context, *cnf.parameters()])]


@pytest.fixture(scope="module")
def expected():
    return gradients(make(FixedGrid("rk4", steps=400, checkpoint=False)))


@pytest.mark.parametrize("name", SOLVERS)
def test_all_solvers_agree_on_values_and_gradients(name, expected):
    for got, want in zip(gradients(make(SOLVERS[name])), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_recomputing_changes_no_gradient():
    plain, again = (gradients(make(FixedGrid(steps=3, checkpoint=c))) for c in (False, True))
    for got, want in zip(again, plain, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in DIVERGENCES if name not in ("exact", "brute_force")])
def test_estimates_are_unbiased(name):
    cnf, (x, context) = make(FixedGrid(steps=4)), data()
    many = x[:1].expand(20_000, 3), context[:1].expand(20_000, 2)
    with torch.no_grad():
        exact = cnf.solve(x[:1], context[:1], divergence="exact").ladj
        estimates = cnf.solve(*many, divergence=name).ladj
    error = estimates.std() / len(estimates) ** 0.5
    assert abs(estimates.mean() - exact) < 4 * error < 0.1


@pytest.mark.parametrize("name", ["hutchinson", "rademacher"])
def test_both_modes_give_the_same_estimate_for_the_same_probe(name):
    cnf, (x, context) = make(FixedGrid(steps=4)), data()
    probe = DIVERGENCES[name].probe(x)
    reverse, forward = (cnf.solve(x, context, divergence=d, probe=probe).ladj for d in (name, f"forward_{name}"))
    torch.testing.assert_close(reverse, forward, rtol=1e-12, atol=1e-12)


def test_probe_is_frozen_within_a_solve_and_fresh_between_solves():
    cnf, (x, context) = make(Adaptive(rtol=1e-8, atol=1e-8), divergence="hutchinson"), data()
    first, second = cnf.solve(x, context), cnf.solve(x, context)
    assert first.evaluations.forward < 200  # a random right-hand side would never meet the tolerance
    assert not torch.allclose(first.ladj, second.ladj)
    torch.testing.assert_close(first.z, second.z, rtol=1e-6, atol=1e-6)


def test_evaluations_are_counted_forward_and_backward():
    x, context = data()
    with record_solves() as log:
        z, ladj = make(FixedGrid("heun", steps=5))(x, context)
        assert (log.nfe_forward, log.nfe_backward) == (10, 0)
        (z.sum() + ladj.sum()).backward()
        assert (log.nfe_forward, log.nfe_backward) == (10, 10)
    with record_solves() as log:
        make(Adaptive())(x, context)[1].sum().backward()
        assert log.nfe_forward > 10 and log.nfe_backward > 10


def test_generating_computes_no_divergence():
    cnf, (x, context) = make(), data()
    cnf.field.exact_divergence = None
    cnf.generate(x, context)


@pytest.mark.parametrize("divergence", ["exact", "rademacher"])
def test_penalties_are_the_integrals_and_do_not_steer(divergence):
    cnf, (x, context) = make(Adaptive(rtol=1e-9, atol=1e-9), divergence=divergence), data()
    torch.manual_seed(2)
    bare = cnf.solve(x, context).evaluations.forward
    torch.manual_seed(2)
    with record_solves(("kinetic", "jacobian")) as log:
        cnf(x, context)
    assert log.nfe_forward == bare
    # The trajectory on a fine grid, its speed squared summed by the trapezoidal rule.
    condition, times = cnf.field.condition(context), torch.linspace(0, cnf.end_time.item(), 401).double()
    state, speeds = x, [cnf.field(times[0], x, condition)]
    for a, b in pairwise(times):
        half = state + (b - a) / 2 * cnf.field(a, state, condition)
        state = state + (b - a) * cnf.field((a + b) / 2, half, condition)
        speeds.append(cnf.field(b, state, condition))
    energy = torch.trapezoid(torch.stack(speeds).square().sum(-1), times, dim=0)
    torch.testing.assert_close(log.penalty("kinetic"), energy, rtol=1e-3, atol=1e-4)
    assert (log.penalty("jacobian") > 0).all()


def test_jacobian_penalty_estimates_the_frobenius_norm():
    cnf, (x, context) = make(FixedGrid("euler", steps=1)), data()
    many = x[:1].expand(20_000, 3), context[:1].expand(20_000, 2)
    with torch.no_grad(), record_solves(("jacobian",)) as log:
        cnf(*many)
    condition = cnf.field.condition(context[:1])
    jacobian = torch.autograd.functional.jacobian(lambda y: cnf.field(torch.tensor(0.0), y, condition)[0], x[:1])
    expected = jacobian.square().sum() * cnf.end_time
    assert abs(log.penalty("jacobian").mean() / expected - 1) < 0.03


def test_unknown_penalties_are_refused():
    message = "unknown penalty 'energy': expected some of kinetic, jacobian"
    with pytest.raises(ValueError, match=message), record_solves(("energy",)):
        pass


class Interacting(VectorField):
    """Particles that see each other: the event is the whole set."""

    event_dims = 2

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, t, x, condition=None):
        return torch.tanh(self.linear(x) + t) + torch.sin(x.mean(1, keepdim=True))


@pytest.mark.parametrize("divergence", ["exact", "brute_force"])
def test_any_module_can_be_a_field(divergence):
    torch.manual_seed(0)
    cnf = CNF(Interacting(), solver=FixedGrid(steps=20), divergence=divergence).double()
    x = torch.randn(2, 4, 2).double()
    _, ladj = cnf(x)
    jacobian = torch.autograd.functional.jacobian(lambda y: cnf(y[None])[0][0], x[0]).view(8, 8)
    torch.testing.assert_close(ladj[0], torch.linalg.slogdet(jacobian)[1], rtol=1e-6, atol=1e-7)
    assert cnf.divergence_for(x) == divergence


def test_auto_takes_the_exact_trace_where_it_is_cheap():
    wide, cloud, deep = CNF(MLPField(50, (64, 64))), CNF(MLPField(3, (512, 512, 512))), CNF(MLPField(2))
    points = torch.zeros(2, 9, 3)
    assert wide.divergence_for(torch.zeros(2, 50)) == deep.divergence_for(torch.zeros(2, 2)) == "exact"
    assert cloud.divergence_for(points) == "forward_rademacher"
    assert cloud.eval().divergence_for(points) == "exact"


def test_a_stiff_field_ends_in_one_line():
    cnf = make(Adaptive(rtol=1e-9, atol=1e-9, max_nfe=40))
    with pytest.raises(SolverError, match="dopri5 needed more than max_nfe=40 evaluations"):
        cnf(*data())
    x, context = data()
    with pytest.raises(SolverError, match="dopri5 gave up"):
        make(Adaptive())(x * float("nan"), context)


def test_bfloat16_autocast_keeps_state_and_log_det_in_float32():
    cnf, (x, context) = make(FixedGrid(steps=4)).float(), (tensor.float() for tensor in data())
    z, ladj = cnf(x, context)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low_z, low_ladj = cnf(x, context)
    assert low_z.dtype == low_ladj.dtype == torch.float32
    torch.testing.assert_close(low_z, z, rtol=0.05, atol=0.05)
    torch.testing.assert_close(low_ladj, ladj, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: FixedGrid("rk5"), "unknown method 'rk5'"),
        (lambda: FixedGrid(steps=2, step_size=0.1), "give steps or step_size, not both"),
        (lambda: FixedGrid(steps=0), "steps must be at least 1"),
        (lambda: FixedGrid(step_size=-1.0), "step_size must be positive"),
        (lambda: Adaptive("euler"), "unknown method 'euler'"),
        (lambda: Adaptive(rtol=0.0), "tolerances must be positive"),
        (lambda: Adaptive(max_nfe=0), "max_nfe must be at least 1"),
        (lambda: CNF(MLPField(2), end_time=0.0), "end_time must be positive"),
        (lambda: CNF(MLPField(2), divergence="trace"), "unknown divergence 'trace'"),
        (lambda: MLPField(2, layer="gated"), "unknown layer type 'gated'"),
        (lambda: MLPField(2, activation="sawtooth"), "unknown activation 'sawtooth'"),
        (lambda: MLPField(2, (0,)), "at least one unit"),
    ],
)
def test_wrong_settings_are_named(make_it, message):
    with pytest.raises(ValueError, match=message):
        make_it()


def test_wrong_states_and_contexts_are_named():
    with pytest.raises(ValueError, match=r"MLPField expected states \(..., 3\), got \(5, 4\)"):
        make()(torch.zeros(5, 4).double(), torch.zeros(5, 2).double())
    with pytest.raises(ValueError, match="expected a context of shape"):
        make()(torch.zeros(5, 3).double())


@pytest.mark.slow
def test_compiled_step_computes_the_same():
    torch.manual_seed(0)
    field = MLPField(2, (8, 8))
    x = torch.randn(6, 2)
    results = []
    for compile in (False, True):
        cnf = CNF(field, solver=FixedGrid("midpoint", steps=2, compile=compile))
        z, ladj = cnf(x)
        results.append([z, ladj, *torch.autograd.grad(z.square().sum() - ladj.sum(), list(cnf.parameters()))])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("divergence", ["exact", "brute_force", "rademacher"])
def test_autograd_divergences_refuse_inference_mode(divergence):
    cnf = CNF(Interacting(), eval_solver=FixedGrid(steps=2), eval_divergence=divergence).eval()
    with torch.inference_mode(), pytest.raises(RuntimeError, match="needs autograd"):
        cnf(torch.randn(2, 4, 2))


@pytest.mark.parametrize("divergence", ["exact", "forward_rademacher"])
def test_closed_forms_work_in_inference_mode(divergence):
    cnf, (x, context) = make(eval_divergence=divergence).eval(), data()
    with torch.inference_mode():
        ladj = cnf(x, context)[1]
    assert ladj.abs().min() > 0


def test_recomputation_repeats_the_autocast_of_the_forward_pass(monkeypatch):
    cnf, (x, context) = make(FixedGrid(steps=2)).float(), (tensor.float() for tensor in data())
    seen, with_slope = [], cnf.field.activations[0].with_slope

    def record(a):
        seen.append(torch.is_autocast_enabled("cpu"))
        return with_slope(a)

    monkeypatch.setattr(cnf.field.activations[0], "with_slope", record)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, ladj = cnf(x, context)
    ladj.sum().backward()
    assert seen == [True] * 16


@pytest.mark.parametrize("training", [False, True])
def test_adaptive_solves_and_evaluation_stay_in_float32_under_autocast(training):
    cnf, (x, context) = make(Adaptive()).float().train(training), (tensor.float() for tensor in data())
    context = context.requires_grad_()
    expected = cnf(x, context)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = cnf(x, context)
    got[1].sum().backward()
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("solver", [FixedGrid(steps=2), Adaptive()])
def test_second_derivatives_are_refused_not_lost(solver):
    cnf, (x, context) = make(solver), data()
    ladj = cnf(x.requires_grad_(), context)[1].sum()
    with pytest.raises(RuntimeError, match="second derivatives of a solve"):
        torch.autograd.grad(ladj, x, create_graph=True)


def test_auto_knows_what_a_context_costs():
    wide = CNF(MLPField(43, (64, 64), context_features=3))
    assert wide.divergence_for(torch.zeros(5, 43)) == "forward_rademacher"
    assert wide.divergence_for(torch.zeros(5, 9, 43)) == "exact"


def test_auto_takes_the_estimate_whose_product_a_penalty_needs():
    cnf, (x, context) = make(), data()
    with record_solves(("jacobian",)) as log:
        cnf(x, context)
    assert log.solutions[0].divergence == "forward_rademacher"


def test_stacks_of_tangents_are_bounded(monkeypatch):
    field, x = MLPField(7, (8, 9, 6)).double(), torch.randn(5, 7).double()
    whole = field.exact_divergence(torch.tensor(0.3), x)[1]
    monkeypatch.setattr("flowsuite.core.nets.mlp_field.STACKED", 100)
    torch.testing.assert_close(field.exact_divergence(torch.tensor(0.3), x)[1], whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("hidden", [(8, 8), (8, 8, 8)])
def test_an_empty_batch_is_named(hidden):
    with pytest.raises(ValueError, match=r"expected at least one example, got a batch of shape \(0, 3\)"):
        CNF(MLPField(3, hidden)).eval()(torch.zeros(0, 3))

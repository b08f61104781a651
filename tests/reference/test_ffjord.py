"""FFJORD for vectors against rtqichen/ffjord: every array of every case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from flowsuite.core.layers.continuous import CNF, record_solves, set_eval_solver
from flowsuite.core.nets.vector_field import VectorField
from flowsuite.core.ode import Adaptive, Evaluations, FixedGrid
from flowsuite.core.reference import convert_reference, from_reference
from tests.reference.checking import Check, continuous_layers, give_probes, numbered

pytestmark = pytest.mark.reference_kind("ffjord")


@dataclass(frozen=True)
class Regularised:
    """The public code's regularisers as integrands; root mean squares are means over the batch."""

    field: VectorField
    condition: Any = None

    def with_condition(self, condition):
        return replace(self, condition=condition)

    def __call__(self, t: Tensor, x: Tensor):
        f, jacobian_f = self.field.jvp(t, x, self.field(t, x))
        columns = [self.field.jvp(t, x, one.expand_as(x))[1] for one in torch.eye(x.shape[1], dtype=x.dtype)]
        jacobian = torch.stack(columns, dim=-1)
        _, pulled = self.field.vjp(t, x, f)
        assert jacobian_f.shape == x.shape
        return f, (f.abs().mean(), rms(f), rms(pulled), rms(jacobian))


def rms(x: Tensor) -> Tensor:
    return x.flatten(1).square().mean(1).sqrt().mean()


def tolerance_of(config) -> float:
    return 1e-10 if config["solver"] in ("rk4", "euler", "midpoint") else 1e-7


def check_passes(check: Check, flow, inputs, suffix: str, state: bool) -> None:
    """Density, chain states and sampling with the divergence that the flow has now."""
    x, total = inputs["x"], 0
    for i, layer in enumerate(flow.transform):
        x, ladj = layer(x)
        total = total + ladj
        if state and check.wants(f"chain{i}_y"):
            check(f"chain{i}_y", x)
            check(f"chain{i}_delta_logp", -total)
    log_pz = flow.base.log_prob(x)
    check(f"delta_logp{suffix}", -total)
    check(f"logpx{suffix}", log_pz + total)
    if state:
        check("z", x)
    if state and check.wants("logpz"):
        check("logpz", log_pz)
    if state:
        check("sample_from_u", flow.decode(inputs["u"]))
    if check.wants(f"sample_delta_logp{suffix}"):
        back, ladj = flow.transform.inverse(inputs["u"])
        check("sample_from_u", back)
        check(f"sample_delta_logp{suffix}", -ladj)


def check_gradients(check: Check, flow, case) -> None:
    x = case.input["x"].clone().requires_grad_()
    loss = -flow.log_prob(x).mean()
    loss.backward()
    check("nll_mean", loss)
    check("grad_x", x.grad, 1e-6)
    # The gradients by their names: the converter takes them where it takes the weights.
    theirs = {name.removeprefix("grad/"): value for name, value in case.output.items() if name.startswith("grad/")}
    placed = {name: theirs.get(name, torch.zeros_like(value)) for name, value in case.param.items()}
    _, _, converted = convert_reference("ffjord", placed, case.config)
    for name, p in flow.named_parameters():
        if not name.endswith("sqrt_end_time"):
            torch.testing.assert_close(p.grad, converted[name], rtol=1e-6, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    assert all(layer.sqrt_end_time.grad.abs() > 0 for layer in continuous_layers(flow))
    check.seen |= {name for name in case.output if name.startswith("grad/")}


def check_regularisers(check: Check, flow, inputs) -> None:
    totals, x = 0, inputs["x"]
    for layer in flow.transform:
        if isinstance(layer, CNF):
            assert layer.eval_solver == layer.solver
            times = torch.zeros_like(layer.end_time), layer.end_time
            rhs = Regularised(layer.field)
            _, integrals = layer.eval_solver.solve(rhs, x, *times, Evaluations())
            totals = totals + torch.stack(integrals)
        x, _ = layer(x)
    for name, total in zip(("l1int", "l2int", "dl2int", "JFrobint"), totals, strict=True):
        if check.wants(f"reg_{name}"):
            check(f"reg_{name}", total)


def test_every_array(reference_case):
    case, config = reference_case, reference_case.config["config"]
    check = Check(case, tolerance_of(config))
    flow = from_reference("ffjord", case.param, case.config)
    if check.tolerance > 1e-10:  # independent of the solver: a higher order gets there sooner
        set_eval_solver(flow, Adaptive("dopri8", rtol=1e-10, atol=1e-10))
    if check.wants("nll_mean"):
        check_gradients(check, flow, case)
    exact_suffix = "_exact_trace" if check.wants("logpx_exact_trace") else ""
    with torch.no_grad():
        check_passes(check, flow, case.input, exact_suffix, state=not exact_suffix)
        if any(name.startswith("reg_") for name in case.output):
            check_regularisers(check, flow, case.input)
        if check.wants("roundtrip_x"):
            z, ladj = flow.transform(case.input["x"])
            x, back = flow.transform.inverse(z)
            check("roundtrip_x", x)
            check("roundtrip_delta_logp", -(ladj + back))
        if exact_suffix:
            give_probes(flow, numbered(case.input, "noise_block"), "hutchinson")
            check_passes(check, flow, case.input, "", state=True)
        if check.wants("nfe_forward"):
            with record_solves() as log:
                flow.transform(case.input["x"])
            if all(isinstance(layer.eval_solver, FixedGrid) for layer in continuous_layers(flow)):
                check("nfe_forward", torch.tensor([float(log.nfe_forward)]))
    check.finish()


def test_training_settings_are_those_of_the_flags(reference_case):
    config = reference_case.config["config"]
    flow = from_reference("ffjord", reference_case.param, config)
    for layer in continuous_layers(flow):
        assert layer.solver == layer.eval_solver
        assert (layer.divergence == "exact") == (config["divergence_fn"] == "brute_force")
        assert layer.sqrt_end_time.requires_grad == config["train_T"]

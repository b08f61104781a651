"""One evaluation of every time-dependent layer type of rtqichen/ffjord, vectors and images."""

from __future__ import annotations

import pytest
import torch

from flowsuite.core.divergence import DIVERGENCES
from flowsuite.core.nets.conv_field import ConvField
from flowsuite.core.nets.mlp_field import MLPField
from flowsuite.core.nets.vector_field import VectorField, brute_force_divergence
from flowsuite.core.reference_fields import convert_field, under
from tests.reference.checking import Check

pytestmark = pytest.mark.reference_kind("vector-fields")


def build(net: str, case) -> VectorField:
    """`net` is "linear_<type>" or "conv_<type>"."""
    config, (kind, _, layer) = case.config["config"], net.partition("_")
    weights = under(case.param, f"{net}/")
    if kind == "linear":
        hidden, strides = config["hidden"], None
        field = MLPField(config["din"], hidden, layer, config["nonlinearity"])
    else:
        hidden, strides = config["conv"]["hidden"], config["conv"]["strides"]
        field = ConvField(tuple(config["conv"]["input"]), hidden, strides, layer, config["nonlinearity"])
    converted, sizes = convert_field(weights, layer, hidden, strides)
    assert sizes[:-1] == list(hidden)
    field.double().load_state_dict(converted)
    return field


def test_every_array(reference_case):
    case = reference_case
    check = Check(case, 1e-10)
    t = case.input["t"].reshape(())
    for net in sorted({name.split("/")[0] for name in case.output}):
        field = build(net, case)
        suffix = "_conv" if net.startswith("conv") else ""
        x, noise = case.input[f"x{suffix}"], case.input[f"noise{suffix}"]
        with torch.no_grad():
            check(f"{net}/f", field(t, x, field.condition(None)))
            for name in ("hutchinson", "forward_hutchinson"):
                _, divergence, _ = DIVERGENCES[name](field, t, x, field.condition(None), noise)
                check(f"{net}/div_hutchinson", divergence)
            for exact in (field.exact_divergence(t, x), brute_force_divergence(field, t, x)):
                check(f"{net}/div_exact", exact[1])
            each = t.expand(len(x))
            check(f"{net}/f", field(each, x, field.condition(None)))
    check.finish()

"""The amortised low-rank flow of FFJORD-VAE: field and block."""

from __future__ import annotations

import pytest
import torch

from flowsuite.core.reference import from_reference
from tests.reference.checking import Check, continuous_layers, give_probes

pytestmark = pytest.mark.reference_kind("ffjord-vae")


def test_every_array(reference_case):
    case = reference_case
    check = Check(case, 1e-10)
    flow = from_reference("ffjord-vae", case.param, case.config)
    context = case.input["am_params"]
    with torch.no_grad():
        field = continuous_layers(flow)[0].field
        check("f_at_t", field(case.input["t"].reshape(()), case.input["z0"], field.condition(context)))
        give_probes(flow, [case.input["noise"]], "hutchinson")
        zk, ladj = flow.transform(case.input["z0"], context)
        check("zk", zk)
        check("delta_logp", -ladj)
    check.finish()

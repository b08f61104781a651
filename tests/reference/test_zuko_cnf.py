"""zuko's conditional CNF: density and both directions."""

from __future__ import annotations

import pytest
import torch

from flowsuite.core.reference import from_reference
from tests.reference.checking import Check

pytestmark = pytest.mark.reference_kind("zuko-cnf")


def test_every_array(reference_case):
    case = reference_case
    check = Check(case, 1e-7)
    flow = from_reference("zuko-cnf", case.param, case.config)
    context = case.input.get("context")
    with torch.no_grad():
        z, ladj = flow.transform(case.input["x"], context)
        check("z", z)
        check("logpx", flow.base.log_prob(z) + ladj, 1e-6)  # kinks of ELU limit every solver
        check("sample_from_u", flow.decode(case.input["u"], context))
    check.finish()

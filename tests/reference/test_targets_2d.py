"""The four published energies, and normflows' enveloped variants."""

from __future__ import annotations

import pytest
import torch

from flowsuite.core.targets import U1, U2, U3, U4
from tests.reference.checking import Check

pytestmark = pytest.mark.reference_kind("targets-2d")


def test_every_array(reference_case):
    check, z = Check(reference_case, 1e-9), reference_case.input["z"]
    for target in (U1(), U2(), U3(), U4()):
        check(type(target).__name__, -target(z))
        assert target(z.float()).dtype == torch.float32
    check("ring_two_modes", U1()(z))
    check("sinusoid_quartic", U2("quartic")(z))
    check("sinusoid_gap_quartic", U3("quartic")(z))
    check("sinusoid_split_quartic_onescale", U4("quartic", scales=(0.35, 0.35))(z))
    check.finish()

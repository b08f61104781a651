"""nflows' masked autoregressive transforms, value for value."""

import pytest
import torch

from flowsuite.images.reference import from_reference

pytestmark = pytest.mark.reference_kind("maf")
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def test_density_and_sampling(reference_case):
    flow = from_reference("maf", reference_case.param, reference_case.config)
    given, expected = reference_case.input, reference_case.output
    context = given.get("context")
    with torch.no_grad():
        z, ladj = flow.transform(given["x"], context)
        torch.testing.assert_close(z, expected["u"], **TOLERANCE)
        torch.testing.assert_close(ladj, expected["logdet"], **TOLERANCE)
        torch.testing.assert_close(flow.log_prob(given["x"], context), expected["log_prob"], **TOLERANCE)
        torch.testing.assert_close(flow.decode(given["noise"], context), expected["sample"], **TOLERANCE)


def test_masks_agree(reference_case):
    flow = from_reference("maf", reference_case.param, reference_case.config)
    ours = [module.mask for module in flow.modules() if hasattr(module, "mask")]
    theirs = [value for name, value in reference_case.param.items() if name.endswith(".mask")]
    assert ours and len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b.bool())

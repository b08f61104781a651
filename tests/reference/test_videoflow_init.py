"""The data-dependent initialisation of tensor2tensor's VideoFlow."""

import pytest
import torch

from flowsuite.core.layers.actnorm import data_dependent_init
from flowsuite.video.reference import from_reference
from flowsuite.video.reference_t2t import convert_uninitialized
from tests.reference.checking import Check
from tests.reference.test_videoflow import PRECISIONS, channels_last, frames_first

pytestmark = pytest.mark.reference_kind("t2t-actnorm-init")


@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
@torch.no_grad()
def test_every_array(reference_case, dtype, tolerance):
    case = reference_case
    flow = from_reference(case.kind, case.param, case.config).to(dtype)
    x = frames_first(case.input["x"], dtype)
    with data_dependent_init():
        flow.frames.encode_levels(x)
    check = Check(case, tolerance)
    latents, above, ladj = flow.frames.encode_levels(x)
    check("z_top", channels_last(latents[-1]))
    objective = ladj
    for level, (prior, z) in enumerate(zip(flow.priors[:-1], latents, strict=False)):
        check(f"z/level{level}", channels_last(z))
        objective = objective + prior.without_past(z, above[level]).log_prob(z)
    check("objective", objective)
    check_norms(case, flow, check)
    check.finish()


def check_norms(case, flow, check: Check) -> None:
    """Reads the initialised values as the import would, and compares state with state."""
    given = {name.removeprefix("initialised/"): w for name, w in case.output.items() if name.startswith("init")}
    _, _, expected = convert_uninitialized({**case.param, **given}, case.config)
    ours = flow.state_dict()
    actnorms = [name for name in ours if name.startswith("transform.") and name.endswith(".shift")]
    assert 2 * len(actnorms) >= len(given) - sum(
        "1_sigm" in name for name in given
    )  # a gate is half an actnorm of ours
    for name, value in expected.items():
        if name.endswith((".shift", ".scale")) and name.startswith("transform."):
            bound = check.tolerance * max(1.0, float(value.abs().max()))
            torch.testing.assert_close(ours[name], value.to(ours[name].dtype), rtol=check.tolerance, atol=bound)
    check.seen |= {f"initialised/{name}" for name in given}

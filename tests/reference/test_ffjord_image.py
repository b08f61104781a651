"""Multi-scale FFJORD for images: latents, bits/dim, sampling."""

from __future__ import annotations

import pytest
import torch

from flowsuite.core.layers.continuous import record_solves
from flowsuite.core.objective import bits_per_dim
from flowsuite.images.reference import from_reference
from tests.reference.checking import Check, give_probes, numbered

pytestmark = pytest.mark.reference_kind("ffjord-image")


def test_every_array(reference_case):
    case = reference_case
    adaptive = case.config["config"]["solver"] not in ("rk4", "euler", "midpoint")
    check = Check(case, 1e-7 if adaptive else 1e-10)
    flow = from_reference("ffjord-image", case.param, case.config)
    give_probes(flow, numbered(case.input, "noise_cnf"), "rademacher")
    x = (case.input["image_uint8"].double() + case.input["uniform"]) / 256
    with torch.no_grad(), record_solves() as log:
        z, ladj = flow.continuous.transform(x)
    with torch.no_grad():
        log_px = flow.base.log_prob(z) + ladj
        check("z", z)
        check("delta_logp", -ladj)
        check("logpx", log_px)
        # x is the density of images in [0, 1): dequantisation takes log 256 for each dimension
        check("bits_per_dim", bits_per_dim(log_px + flow.dequantize(case.input["image_uint8"])[1], flow.dims))
        image, ladj = flow.continuous.transform.inverse(case.input["u"])
        check("sample_from_u", image)
        check("sample_delta_logp", -ladj)
    if not adaptive:
        check("nfe_forward", torch.tensor([float(log.nfe_forward)]))
        check.finish()

"""NVIDIA's WaveGlow, value for value."""

import math

import pytest
import torch

from flowsuite.audio.reference import from_reference
from flowsuite.audio.squeeze import squeeze
from tests.reference.checking import Check

pytestmark = pytest.mark.reference_kind("nvidia-waveglow")


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-8), (torch.float32, 1e-5)])
@torch.no_grad()
def test_every_array(reference_case, dtype, tolerance):
    flow = from_reference("nvidia-waveglow", reference_case.param, reference_case.config).to(dtype)
    given = {name: value.to(dtype) for name, value in reference_case.input.items()}
    check = Check(reference_case, tolerance)
    x, mel = given["x"], given["mel"]
    first = reference_case.output["mel_upsampled_first"].shape[2]
    check("mel_upsampled_first", flow.upsample.conv(mel)[..., :first])
    condition = flow.condition(mel, x.shape[1])
    rows, ladj, of_mix = squeeze(x, flow.height), 0.0, []
    for k, step in enumerate(flow.transform):
        moved, log_det = step.mix(rows[:, step.kept :])
        of_mix.append(log_det[0])
        a = step.coupling._split(moved)[0]
        check(f"log_s_{k}", step.coupling.params(a, condition)[..., 1])
        rows, of_step = step(rows, condition)
        ladj = ladj + of_step
    check("logdet_w", torch.stack(of_mix))
    check("logdet", ladj)
    check("z", rows)
    check("z", flow.encode(x, mel))
    density = flow.log_prob(x, mel)
    check("log_likelihood", density)
    check("loss", -density.mean() / x.shape[1] - 0.5 * math.log(2 * math.pi))
    check("inv_x", flow.decode(given["inv_z"], given["inv_mel"]))
    check.finish()

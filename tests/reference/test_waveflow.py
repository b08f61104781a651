"""L0SG's WaveFlow, value for value."""

import pytest
import torch

from flowsuite.audio.reference import from_reference
from flowsuite.audio.row_autoregressive import RowAutoregressive
from flowsuite.audio.squeeze import squeeze
from tests.reference.checking import Check

pytestmark = pytest.mark.reference_kind("l0sg-waveflow")
PRECISIONS = [(torch.float64, 1e-8), (torch.float32, 1e-5)]


@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
@torch.no_grad()
def test_every_array(reference_case, dtype, tolerance):
    flow = from_reference("l0sg-waveflow", reference_case.param, reference_case.config).to(dtype)
    given = {name: value.to(dtype) for name, value in reference_case.input.items()}
    check = Check(reference_case, tolerance)
    x, mel = given["x"], given["mel"]

    up = flow.upsample(mel)
    check("mel_upsampled", up)
    condition = flow.condition(mel, x.shape[1])
    check("mel_squeezed_first8", condition.mel[:, :8], max(tolerance, 1e-6))
    rows = squeeze(x, flow.height)
    check("x_squeezed", rows)

    log_s, t, ladj = [], [], 0.0
    for k, (coupling, permutation) in enumerate(zip(*[iter(flow.transform)] * 2, strict=True)):
        assert isinstance(coupling, RowAutoregressive)
        for kept, values in zip((log_s, t), coupling.affine(rows, condition), strict=True):
            kept.append(values)
        rows, of_flow = coupling(rows, condition)
        ladj = ladj + of_flow
        rows = permutation(rows)[0]
        check(f"flow_out_{k}", rows)
    check("log_s", torch.stack(log_s, dim=1))
    check("t", torch.stack(t, dim=1))
    check("logdet", ladj)
    check("z", flow.encode(x, mel))
    density = flow.log_prob(x, mel)
    check("log_likelihood", density)
    check("loss", -density.mean() / x.shape[1])
    check("inv_x", flow.decode(given["inv_z"].squeeze(1), given["inv_mel"], trim=768))
    check.finish()


def test_gradients_reach_everything(reference_case):
    flow = from_reference("l0sg-waveflow", reference_case.param, reference_case.config).double()
    given = reference_case.input
    flow.log_prob(given["x"].double(), given["mel"].double()).sum().backward()
    for name, p in flow.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
        if not name.endswith("front.weight"):  # one number a filter, of which its norm leaves the sign
            assert p.grad.any(), name

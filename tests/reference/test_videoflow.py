"""tensor2tensor's VideoFlow, value for value: latents, priors, densities, and samples from given noise."""

import pytest
import torch
from torch import Tensor

from flowsuite.core.training.checkpoint import load_module
from flowsuite.video.reference import from_reference
from flowsuite.video.sampler import Noise
from flowsuite.video.videoflow import VideoFlow
from tests.reference.checking import Check
from tests.reference.shell import imported

pytestmark = pytest.mark.reference_kind("t2t-videoflow")
PRECISIONS = [(torch.float64, 2e-5), (torch.float32, 2e-4)]


def frames_first(x: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """(..., H, W, C) as (..., C, H, W)."""
    return x.to(dtype).movedim(-1, -3)


def channels_last(x: Tensor) -> Tensor:
    return x.movedim(-3, -1)


def videos(case, dtype: torch.dtype) -> Tensor:
    """The dequantised frames in the reference's scaling."""
    noise = frames_first(case.input["dequant_u"], dtype)
    return frames_first(case.input["frames_uint8"], dtype) / 255 - 0.5 + noise / 256


def noise_of(case, flow: VideoFlow, dtype: torch.dtype) -> Noise:
    steps = sum(name.startswith("eps/") and name.endswith("/level0") for name in case.input)
    eps = [
        torch.stack([frames_first(case.input[f"eps/t{t}/level{level}"], dtype) for t in range(steps)], dim=1)
        for level in range(flow.levels)
    ]
    return Noise(eps, [torch.zeros(e.shape[:2], dtype=dtype) for e in eps])


@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
@torch.no_grad()
def test_every_array(reference_case, dtype, tolerance):
    case, given = reference_case, reference_case.config["config"]
    flow = from_reference(case.kind, case.param, case.config).to(dtype)
    check, x = Check(case, tolerance), videos(case, dtype)
    latents, above, ladj = flow.encode_with_above(x)
    score, context = flow.score(x), given["in_frames"]
    for level, pieces in enumerate(flow.predictions(x)):
        mean, log_std = (torch.cat(parts, dim=1) for parts in zip(*pieces, strict=True))
        for t in range(x.shape[1]):
            at = f"t{t}/level{level}"
            check(f"z/{at}", channels_last(latents[level][:, t]))
            check(f"prior_mu/{at}", channels_last(mean[:, t]))
            check(f"prior_sigma/{at}", channels_last(log_std[:, t].exp()))
            check(f"logp_z/{at}", score.levels[:, t, level])
            if check.wants(f"h/{at}"):
                check(f"h/{at}", channels_last(above[level][:, t]))
    for t in range(x.shape[1]):
        check(f"logdet/t{t}", ladj[:, t])
    nats = score.log_prob - flow.dims * torch.log(torch.tensor(256.0, dtype=dtype))
    check("loglik_frame", nats)
    check("bits_per_dim", -nats[:, context:].mean(1) / (flow.dims * torch.log(torch.tensor(2.0, dtype=dtype))))
    check_samples(case, flow, x[:, :context], check)
    check.finish()


def check_samples(case, flow: VideoFlow, context: Tensor, check: Check) -> None:
    noise, temperature = noise_of(case, flow, context.dtype), case.config["config"]["temperature"]
    steps = noise.eps[0].shape[1]
    found = flow.sample(context, steps, 1, temperature, noise=noise)[:, 0]
    check("sample/x", channels_last(found))
    for level, z in enumerate(flow.encode(found)):
        for t in range(steps):
            check(f"sample/z/t{t}/level{level}", channels_last(z[:, t]), 10 * check.tolerance)
    bytes_ = ((found.nan_to_num(1.0, 1.0, 1.0).clamp(-0.5, 0.5) + 0.5) * 256).clamp(0, 255).to(torch.uint8)
    away = (channels_last(bytes_).int() - case.output["sample/uint8"].int()).abs()
    assert away.max() <= 1 and (away > 0).float().mean() < 1e-3
    check.seen.add("sample/uint8")


def test_gradients_reach_everything(reference_case):
    case = reference_case
    flow = from_reference(case.kind, case.param, case.config).double()
    flow.log_prob(videos(case, torch.float64)).sum().backward()
    for name, p in flow.named_parameters():
        assert not p.requires_grad or (p.grad is not None and p.grad.isfinite().all()), name


@torch.no_grad()
def test_import(reference_case, tmp_path):
    case = reference_case
    module = load_module(imported(case, tmp_path))
    assert module.context_frames == case.config["config"]["in_frames"] and module.reference
    expected = from_reference(case.kind, case.param, case.config)
    x = videos(case, torch.float32)
    assert torch.equal(module.flow.frame_log_prob(x), expected.float().frame_log_prob(x))

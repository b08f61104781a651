"""RealNVP against laurent-dinh/models (real_nvp), from its own weights."""

import math

import pytest
import torch

from flowsuite.core.layers.squeeze import Squeeze2d
from flowsuite.images.reference import from_reference
from flowsuite.images.reference_realnvp import our_name

from .realnvp_oracle import Oracle

pytestmark = pytest.mark.reference_kind("realnvp")

LOG_TOLERANCE = {"rtol": 1e-5, "atol": 1e-4}
LATENT_TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def nchw(x):
    return x.permute(0, 3, 1, 2)


def full_resolution(flow, z):
    """The published layout of latents: what left is put back beside what stayed, scale by scale; (N, H, W, C)."""
    *outer, x = flow.body.unflatten(z)
    for part in reversed(outer):
        x = Squeeze2d("checkerboard").inverse(torch.cat((x, part), dim=1))[0]
    return x.permute(0, 2, 3, 1)


def from_full_resolution(flow, z):
    x, parts = nchw(z), []
    for _ in flow.body.splits:
        x, part = Squeeze2d("checkerboard")(x)[0].chunk(2, dim=1)
        parts.append(part)
    return flow.body.flatten([*parts, x])


def load(case, dtype):
    return from_reference("realnvp", case.param, case.config).to(dtype)


def dequantized(case, dtype):
    return (nchw(case.input["image_uint8"]).to(dtype) + nchw(case.input["noise_u"]).to(dtype)) / 256


def check_encoding(flow, case, mode, dtype):
    logit, transform_ladj = flow.transform[1](dequantized(case, dtype))
    z, ladj = flow.body(logit)
    prior = flow.base.log_prob(z)
    expected = {name: value.to(dtype) for name, value in case.output.items()}
    torch.testing.assert_close(logit.permute(0, 2, 3, 1), expected["logit_x"], **LATENT_TOLERANCE)
    torch.testing.assert_close(transform_ladj, expected["transform_logdet"], **LOG_TOLERANCE)
    torch.testing.assert_close(full_resolution(flow, z), expected[f"{mode}_z"], **LATENT_TOLERANCE)
    torch.testing.assert_close(prior, expected[f"{mode}_prior_ll"], **LOG_TOLERANCE)
    torch.testing.assert_close(ladj, expected[f"{mode}_logdet"], **LOG_TOLERANCE)
    nats = prior + ladj + transform_ladj - flow.dims * math.log(256)
    torch.testing.assert_close(-nats / (flow.dims * math.log(2)), expected[f"{mode}_bpd"], **LOG_TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_evaluation_mode(reference_case, dtype):
    flow = load(reference_case, dtype)
    assert not flow.training
    with torch.no_grad():
        check_encoding(flow, reference_case, "eval", dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_training_mode_and_moving_averages(reference_case, dtype):
    flow = load(reference_case, dtype).train()
    check_encoding(flow, reference_case, "train", dtype)
    buffers = dict(flow.named_buffers())
    prefix = "moving_after/"
    moved = {name[len(prefix) :]: value for name, value in reference_case.output.items() if name.startswith(prefix)}
    assert bool(moved) == bool(reference_case.config["use_batch_norm"])
    for name, value in moved.items():
        buffer = buffers[our_name(name, reference_case.config)]
        torch.testing.assert_close(buffer, value.to(dtype), rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_decoding(reference_case):
    flow = load(reference_case, torch.float64)
    for latent, expected in (
        (reference_case.output["eval_z"], reference_case.output["logit_reconstructed"]),
        (reference_case.input["sample_z"], reference_case.output["logit_sample"]),
    ):
        with torch.no_grad():
            logit = flow.body.generate(from_full_resolution(flow, latent.double()))
        torch.testing.assert_close(logit.permute(0, 2, 3, 1), expected.double(), **LATENT_TOLERANCE)


def test_oracle_agrees_with_the_fixtures(reference_case):
    """The naive transcription that stands in for the published code where there are no fixtures."""
    for mode in ("eval", "train"):
        oracle = Oracle(reference_case.config, reference_case.param)
        z, ladj = oracle.encode(reference_case.output["logit_x"].double(), mode == "train")
        torch.testing.assert_close(z, reference_case.output[f"{mode}_z"].double(), **LATENT_TOLERANCE)
        torch.testing.assert_close(ladj, reference_case.output[f"{mode}_logdet"].double(), **LOG_TOLERANCE)


DEFAULTS = {"size": 8, "n_scale": 2, "base_dim": 4, "residual_blocks": 1}
OPTIONS = {
    "additive": {"use_aff": 0},
    "additive_no_batch_norm": {"use_aff": 0, "use_batch_norm": 0},
    "bottleneck": {"bottleneck": 1, "residual_blocks": 2},
    "bottleneck_no_skip": {"bottleneck": 1, "skip": 0, "use_batch_norm": 0},
    "no_skip": {"skip": 0, "residual_blocks": 2},
    "no_blocks": {"residual_blocks": 0},
    "no_blocks_bottleneck": {"residual_blocks": 0, "bottleneck": 1, "use_batch_norm": 0},
    "three_scales": {"n_scale": 3, "base_dim": 3, "use_aff": 0, "bottleneck": 1},
    "one_scale": {"n_scale": 1},
    "lag": {"bn_lag": 0.3},
    "wide": {"size": [4, 12]},
    "odd_last_scale": {"size": [6, 10]},
}


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_options_without_fixtures(options, train, channels):
    config = {**DEFAULTS, **options}
    height, width = (config["size"],) * 2 if isinstance(config["size"], int) else config["size"]
    logit = torch.randn(3, height, width, channels, dtype=torch.float64)
    oracle = Oracle(config)
    expected, expected_ladj = oracle.encode(logit, train)
    flow = from_reference("realnvp", oracle.variables, config).train(train)
    assert flow.image_shape == (channels, height, width)
    z, ladj = flow.body(nchw(logit))
    torch.testing.assert_close(full_resolution(flow, z), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ladj, expected_ladj, rtol=1e-9, atol=1e-9)
    buffers = dict(flow.named_buffers())
    for name, value in oracle.moved.items():
        torch.testing.assert_close(buffers[our_name(name, config)], value, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        back = flow.eval().body.generate(flow.body(nchw(logit))[0])
    torch.testing.assert_close(back, nchw(logit), rtol=1e-7, atol=1e-7)


def test_foreign_weights_are_named():
    oracle = Oracle(DEFAULTS)
    oracle.encode(torch.zeros(1, 8, 8, 3, dtype=torch.float64), False)
    with pytest.raises(ValueError, match="other/weights"):
        from_reference("realnvp", {**oracle.variables, "other/weights": torch.zeros(1)}, DEFAULTS)
    with pytest.raises(ValueError, match="must give size"):
        from_reference("realnvp", oracle.variables, {k: v for k, v in DEFAULTS.items() if k != "size"})

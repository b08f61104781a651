"""RealNVP against laurent-dinh/models (real_nvp), from its own weights."""

import math

import pytest
import torch
from flowsuite.core.layers.squeeze import Squeeze2d
from flowsuite.images.reference import from_reference
from flowsuite.images.reference_realnvp import our_name

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

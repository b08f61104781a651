"""Glow against rosinality/glow-pytorch and openai/glow."""

import math

import numpy as np
import pytest
import torch

from flowsuite.images import from_reference


def nchw(x):
    """Official cases are NHWC."""
    return torch.as_tensor(x).permute(0, 3, 1, 2)


def close(ours, theirs, rtol, atol=0.0):
    theirs = torch.as_tensor(np.asarray(theirs))
    ours = ours.detach().to(theirs.dtype)
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)


def close_to_scale(ours, theirs, rtol):
    """Relative to the largest entry: for tensors whose small entries are differences of large ones."""
    theirs = torch.as_tensor(np.asarray(theirs))
    close(ours, theirs, rtol=rtol, atol=rtol * float(theirs.abs().max()))


def dequantized(flow, image, noise):
    """`y` in [0, 1) from the case's integers and noise."""
    return (flow.dequantize.quantize(image) + noise) / 2**flow.n_bits


def numbered(group, prefix):
    return [group[f"{prefix}_{i}"] for i in range(sum(name.startswith(f"{prefix}_") for name in group))]


@pytest.mark.reference_kind("rosinality-glow")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_port(reference_case, dtype):
    case = reference_case
    config, params, inputs, outputs = case.config, case.param, case.input, case.output
    rtol = 1e-9 if dtype == torch.float64 else 1e-4
    flow = from_reference("rosinality-glow", params, config).to(dtype)
    if "x" in inputs:
        return check_port_initialization(flow, inputs, outputs, dtype, rtol)
    noise = torch.as_tensor(inputs["noise_u"], dtype=dtype)
    y = dequantized(flow, torch.as_tensor(inputs["image_uint8"]), noise).requires_grad_()
    parts = flow.body.forward_parts(flow.transform[1](y)[0])
    for i, ((eps, ladj), expected) in enumerate(zip(parts, numbered(outputs, "eps"), strict=True)):
        close_to_scale(eps, expected, rtol)
        # The case splits a level's share into volume and prior; ours is their sum, up to the standard normal's own.
        prior = flow.base.elementwise_log_prob(eps.to(torch.float64)).flatten(1).sum(1)
        close(ladj + prior, outputs[f"block_logdet_{i}"] + outputs[f"block_log_p_{i}"], rtol)
    log_prob = flow.continuous.log_prob(y)
    close(log_prob, outputs["log_p"] + outputs["logdet"], rtol)
    bpd = (-log_prob + flow.dims * flow.n_bits * math.log(2)) / (flow.dims * math.log(2))
    close(bpd, outputs["bpd"], rtol)
    gradient_x, *gradients = torch.autograd.grad(bpd.mean(), [y, *flow.parameters()])
    close_to_scale(gradient_x, outputs["grad_x"], rtol)
    check_gradient_norms(flow, gradients, config, params, outputs, rtol)
    with torch.no_grad():
        z = flow.body.flatten([torch.as_tensor(e, dtype=dtype) for e in numbered(outputs, "eps")])
        close(
            flow.transform[1:].generate(z) - 0.5, outputs["x_reconstructed"], rtol, atol=1e-4 if rtol > 1e-6 else 1e-9
        )
        z = flow.body.flatten([torch.as_tensor(e, dtype=dtype) for e in numbered(inputs, "sample_eps")])
        sample = flow.transform[1:].generate(config["temperature"] * z) - 0.5
        close_to_scale(sample, outputs["x_sample"], rtol)


def check_port_initialization(flow, inputs, outputs, dtype, rtol):
    y = torch.as_tensor(inputs["x"], dtype=dtype) + 0.5
    flow.continuous.initialize(y)
    close(flow.continuous.log_prob(y), outputs["log_p"] + outputs["logdet"], rtol)
    for name, expected in outputs.items():
        if name.startswith("after_init/"):
            _, _, level, _, step, _, what = name.replace("/", ".").split(".")
            actnorm = flow.body.levels[int(level)][1][int(step)].actnorm
            ours = actnorm.shift if what == "loc" else actnorm.scale
            close_to_scale(ours, expected.flatten(), rtol)


def check_gradient_norms(flow, gradients, config, params, outputs, rtol):
    """The norm of every parameter's gradient; the converter itself says which of ours is which of theirs."""
    from flowsuite.images.reference import convert_reference

    tags = {name: torch.full(np.shape(value), float(i)) for i, (name, value) in enumerate(params.items())}
    _, _, ours = convert_reference("rosinality-glow", tags, config)
    theirs_of = {name: list(params)[int(value.flatten()[0])] for name, value in ours.items() if value.numel()}
    norms = {}
    for (name, _), gradient in zip(flow.named_parameters(), gradients, strict=True):
        norms[theirs_of[name]] = gradient.norm()
    for name, expected in zip(config["param_grad_order"], outputs["param_grad_l2"], strict=True):
        close(norms[name], np.asarray(expected), rtol=10 * rtol, atol=rtol * float(outputs["param_grad_l2"].max()))


@pytest.mark.reference_kind("openai-glow")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_official(reference_case, dtype):
    case = reference_case
    config, params, inputs, outputs = case.config, case.param, case.input, case.output
    flow = from_reference("openai-glow", params, config).to(dtype)
    log_rtol = 1e-5 if dtype == torch.float64 else 1e-4
    labels = torch.as_tensor(inputs["y"]).long() if config["ycond"] else None
    y = dequantized(flow, nchw(inputs["image_uint8"]), nchw(inputs["noise_u"]).to(dtype)).requires_grad_()
    log_prob = flow.continuous.log_prob(y, labels) - flow.dims * flow.n_bits * math.log(2)
    close(log_prob, outputs["objective"], log_rtol)
    bpd = -log_prob / (flow.dims * math.log(2))
    close(bpd, outputs["bpd"], log_rtol)
    close_to_scale(torch.autograd.grad(bpd.mean(), y)[0], nchw(outputs["grad_x"]), 1e-4)
    with torch.no_grad():
        parts = flow.body.unflatten(flow.continuous.encode(y, labels))
        for eps, expected in zip(parts, numbered(outputs, "eps"), strict=True):
            close_to_scale(eps, nchw(expected), 1e-4)
        for eps, expected, name, y_name in (
            (numbered(outputs, "eps"), outputs["x_reconstructed"], "reconstructed", "y"),
            (numbered(inputs, "sample_eps"), outputs["x_sample"], "sample", "sample_y"),
        ):
            temperature = config["temperature"] if name == "sample" else 1.0
            z = temperature * flow.body.flatten([nchw(e).to(dtype) for e in eps])
            context = torch.as_tensor(inputs[y_name]).long() if config["ycond"] else None
            close_to_scale(flow.continuous.decode(z, context) - 0.5, nchw(expected), 1e-4)
        if "y_logits" in outputs:
            close_to_scale(flow.class_logits(parts[-1], labels), outputs["y_logits"], 1e-4)
    if config.get("save_init"):
        check_official_initialization(flow, params, config, y.detach(), outputs, labels)


def check_official_initialization(flow, params, config, y, outputs, labels):
    for module in flow.modules():
        if hasattr(module, "initialized"):
            module.initialized.fill_(False)
    flow.continuous.initialize(y, labels)
    from flowsuite.images.reference import convert_reference

    after = {name.removeprefix("after_init/"): v for name, v in outputs.items() if name.startswith("after_init/")}
    assert after
    _, _, expected = convert_reference("openai-glow", {**params, **after}, config)
    actual = flow.state_dict()
    for name, value in expected.items():
        if name.endswith(("shift", "scale")):
            close_to_scale(actual[name], value, 1e-4)

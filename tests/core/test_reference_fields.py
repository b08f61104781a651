"""Weights by the names of rtqichen/ffjord: what the reference cases don't cover."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from flowsuite.core.layers.continuous import CNF
from flowsuite.core.nets.conv_field import ConvField
from flowsuite.core.ode import Adaptive, FixedGrid
from flowsuite.core.reference import from_reference
from flowsuite.core.reference_fields import convert_field, convert_solver
from flowsuite.images.reference import from_reference as image_from_reference


def rand(*shape):
    return 0.3 * torch.randn(*shape, dtype=torch.float64)


def concat_layers(sizes, prefix):
    """Weights of layers on [t; x]."""
    weights = {}
    for i, (a, b) in enumerate(pairwise(sizes)):
        weights[f"{prefix}layers.{i}._layer.weight"] = rand(b, a + 1)
        weights[f"{prefix}layers.{i}._layer.bias"] = rand(b)
    return weights


def test_autoencoder_estimates_in_the_middle():
    torch.manual_seed(0)
    root = "chain.0.odefunc.autoencoder_diffeq."
    weights = {
        "chain.0.sqrt_end_time": torch.tensor([1.1], dtype=torch.float64),
        **concat_layers([5, 4, 2], f"{root}encoder_"),
        **concat_layers([2, 4, 5], f"{root}decoder_"),
    }
    flags = {"layer_type": "concat", "nonlinearity": "tanh", "solver": "rk4", "step_size": 0.1}
    flow = from_reference("ffjord", weights, flags)
    cnf = flow.transform[0]
    assert cnf.divergence == "bottleneck" and cnf.field.code_layer == 1
    x, t, e = rand(3, 5), torch.tensor(0.3).double(), rand(3, 2)

    def through(h, side):
        for i in range(2):
            parts = [weights[f"{root}{side}_layers.{i}._layer.{kind}"] for kind in ("weight", "bias")]
            h = F.linear(torch.cat((t.expand(3, 1), h), 1), *parts)
            h = h if (side, i) == ("decoder", 1) else h.tanh()
        return h

    code, pull = torch.func.vjp(lambda y: through(y, "encoder"), x)
    f, pull_code = torch.func.vjp(lambda h: through(h, "decoder"), code)
    estimate = (pull_code(pull(e)[0])[0] * e).sum(1)
    got = cnf.field.code_estimate(t, x, e)
    torch.testing.assert_close(got[0], f, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got[1], estimate, rtol=1e-12, atol=1e-12)


def test_hyper_convolution_shares_its_bias_as_the_public_one_does():
    torch.manual_seed(0)
    weights, sizes, inputs = {}, [3, 2], 2
    for i, size in enumerate(sizes):
        emitted = size * inputs * 9 + size
        weights |= {f"layers.{i}._hypernet.0.weight": rand(8, 1), f"layers.{i}._hypernet.0.bias": rand(8)}
        weights |= {f"layers.{i}._hypernet.2.weight": rand(emitted, 8), f"layers.{i}._hypernet.2.bias": rand(emitted)}
        inputs = size
    converted, found = convert_field(weights, "hyper", hidden=[3], strides=[1, 1])
    assert found == sizes
    field = ConvField((2, 4, 4), (3,), layer="hyper", activation="tanh").double()
    field.load_state_dict(converted)
    x, t = rand(2, 2, 4, 4), torch.tensor([0.4]).double()
    h, inputs = x, 2
    for i, size in enumerate(sizes):
        first, second = (
            {kind: weights[f"layers.{i}._hypernet.{n}.{kind}"] for kind in ("weight", "bias")} for n in (0, 2)
        )
        emitted = F.linear(F.linear(t, **first).tanh(), **second)
        kernel = emitted[: size * inputs * 9].view(size, inputs, 3, 3)
        h = F.conv2d(h, kernel, emitted[:size], padding=1)
        h = h.tanh() if i == 0 else h
        inputs = size
    torch.testing.assert_close(field(t[0], x), h, rtol=1e-12, atol=1e-12)


def test_hyper_layers_of_vectors_need_the_hidden_sizes():
    weights = {"layers.0._hypernet.2.bias": rand(12), "layers.1._hypernet.2.bias": rand(12)}
    with pytest.raises(ValueError, match="give 1 hidden sizes"):
        convert_field(weights, "hyper")


def test_single_scale_images_with_strides():
    torch.manual_seed(0)
    root = "chain.1.odefunc.diffeq."
    weights = {"chain.1.sqrt_end_time": torch.tensor([1.0], dtype=torch.float64)}
    shapes = [(2, 2, 4, 4), (3, 3, 3, 3), (4, 1, 4, 4)]  # strides 2, 1, -2; the last is (in + 1, out, 4, 4)
    for i, (shape, out) in enumerate(zip(shapes, (2, 3, 1), strict=True)):
        weights |= {f"{root}layers.{i}._layer.weight": rand(*shape), f"{root}layers.{i}._layer.bias": rand(out)}
    flags = {"shape": [1, 4, 4], "strides": "2,1,-2", "alpha": 0.05, "solver": "midpoint", "layer_type": "concat"}
    flow = image_from_reference("ffjord-image", weights, flags)
    field = next(module for module in flow.modules() if isinstance(module, CNF)).field
    x, t = rand(2, 1, 4, 4), torch.tensor(0.7).double()
    h = x
    for i, stride in enumerate((2, 1, -2)):
        h = torch.cat((t.expand(2, 1, *h.shape[2:]), h), 1)
        convolution = F.conv_transpose2d if stride < 0 else F.conv2d
        parts = [weights[f"{root}layers.{i}._layer.{kind}"] for kind in ("weight", "bias")]
        h = convolution(h, *parts, stride=abs(stride), padding=1)
        h = F.softplus(h) if i < 2 else h
    torch.testing.assert_close(field(t, x), h, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("flags", "prefix", "solver"),
    [
        ({"solver": "rk4", "step_size": 0.5}, "", FixedGrid("rk4_38", step_size=0.5)),
        ({"solver": "euler", "step_size": None}, "", FixedGrid("euler", steps=1)),
        ({"solver": "dopri5", "atol": 1e-3, "rtol": 1e-4}, "", Adaptive("dopri5", rtol=1e-4, atol=1e-3)),
        ({"solver": "dopri5", "tol": 1e-3, "test_solver": None}, "test_", Adaptive("dopri5", rtol=1e-3, atol=1e-3)),
        ({"solver": "rk4", "step_size": 0.5, "test_solver": "dopri5", "test_atol": 1e-6}, "test_", None),
    ],
)
def test_solvers_of_the_flags(flags, prefix, solver):
    from flowsuite.core.training.checkpoint import build_value

    found = build_value(convert_solver(flags, prefix), ())
    assert found == (solver or Adaptive("dopri5", rtol=1e-5, atol=1e-6))


@pytest.mark.parametrize(
    ("weights", "flags", "message"),
    [
        ({}, {}, "these are not the weights of an FFJORD"),
        ({"chain.0.sqrt_end_time": torch.ones(1)}, {}, "no layers of a field among these weights"),
    ],
)
def test_other_weights_are_refused(weights, flags, message):
    with pytest.raises(ValueError, match=message):
        from_reference("ffjord", weights, flags)


def test_other_solvers_and_kinds_are_refused():
    with pytest.raises(ValueError, match="unknown solver 'explicit_adams'"):
        convert_solver({"solver": "explicit_adams"})
    with pytest.raises(ValueError, match=r"unknown reference kind 'ffjort'.*did you mean 'ffjord'"):
        from_reference("ffjort", {}, {})

"""Every layer type, several blocks and no batch norm: the converter against the public code's formulas, written out."""

import numpy as np
import pytest
import torch

from flowsuite.core.ode import FixedGrid
from flowsuite.pointclouds import from_reference

ZDIM, WIDTHS = 4, (7, 6)
# Layer type -> the extra linear maps of [t; z] that it has, with their biases.
EXTRA = {
    "ignore": {},
    "concat": {},
    "concat_v2": {"_hyper_bias": False},
    "squash": {"_hyper": True},
    "scale": {"_hyper": True},
    "concatsquash": {"_hyper_bias": False, "_hyper_gate": True},
    "concatscale": {"_hyper_bias": False, "_hyper_gate": True},
}


def linear(weights, name, inputs, outputs, bias=True):
    weights[f"{name}.weight"] = torch.randn(outputs, inputs) / inputs**0.5
    if bias:
        weights[f"{name}.bias"] = torch.randn(outputs)


def batch_norm(weights, name, size):
    weights |= {f"{name}.weight": torch.rand(size) + 0.5, f"{name}.bias": torch.randn(size)}
    weights |= {f"{name}.running_mean": torch.randn(size), f"{name}.running_var": torch.rand(size) + 0.5}
    weights[f"{name}.num_batches_tracked"] = torch.tensor([3])


def chain(weights, name, dim, context, layer, blocks, with_norm):
    place = 0
    for block in range(2 * blocks + 1 if with_norm else blocks):
        here, place = f"{name}.chain.{place}", place + 1
        if with_norm and block % 2 == 0:
            weights |= {f"{here}.weight": torch.randn(dim) / 4, f"{here}.bias": torch.randn(dim)}
            weights |= {f"{here}.running_mean": torch.randn(dim), f"{here}.running_var": torch.rand(dim) + 0.5}
            weights[f"{here}.step"] = torch.zeros(1)
            continue
        weights[f"{here}.sqrt_end_time"] = torch.tensor([0.7])
        weights[f"{here}.odefunc._num_evals"] = torch.tensor(0.0)
        for i, (a, b) in enumerate(zip((dim, *WIDTHS), (*WIDTHS, dim), strict=True)):
            to = f"{here}.odefunc.diffeq.layers.{i}"
            linear(weights, f"{to}._layer", a + (1 + context if layer == "concat" else 0), b)
            for part, bias in EXTRA[layer].items():
                linear(weights, f"{to}.{part}", 1 + context, b, bias)


def public_weights(layer, blocks, with_norm):
    torch.manual_seed(0)
    weights = {}
    for i, (a, b) in enumerate(((3, 8), (8, 8), (8, 8), (8, 16)), 1):
        linear(weights, f"encoder.conv{i}", a, b)
        weights[f"encoder.conv{i}.weight"] = weights[f"encoder.conv{i}.weight"][..., None]
        batch_norm(weights, f"encoder.bn{i}", b)
    for head in ("_m", "_v"):
        for i, (a, b) in enumerate(((16, 8), (8, 8), (8, ZDIM)), 1):
            linear(weights, f"encoder.fc{i}{head}", a, b)
            if i < 3:
                batch_norm(weights, f"encoder.fc_bn{i}{head}", b)
    chain(weights, "point_cnf", 3, ZDIM, layer, blocks, with_norm)
    chain(weights, "latent_cnf", ZDIM, 0, layer, blocks, with_norm)
    # As a data-parallel wrapper saves them.
    return {name.replace("_cnf.", "_cnf.module.", 1): value.double() for name, value in weights.items()}


def apply(weights, name, layer, c, x):
    def part(suffix, value):
        bias = weights.get(f"{name}.{suffix}.bias", 0)
        return value @ weights[f"{name}.{suffix}.weight"].T + bias

    if layer == "concat":
        return part("_layer", torch.cat((c, x), -1))
    y = part("_layer", x)
    gates = {"squash": "_hyper", "scale": "_hyper", "concatsquash": "_hyper_gate", "concatscale": "_hyper_gate"}
    if layer in gates:
        gate = part(gates[layer], c)
        y = y * (torch.sigmoid(gate) if "squash" in layer else gate)
    return y + part("_hyper_bias", c) if "_hyper_bias" in EXTRA[layer] else y


def push(weights, name, layer, x, context, steps):
    """The chain by Euler steps of the formulas."""
    place = 0
    while any(key.startswith(f"{name}.chain.{place}.") for key in weights):
        here, place = f"{name}.chain.{place}", place + 1
        if f"{here}.running_mean" in weights:
            scale = (-0.5 * torch.log(weights[f"{here}.running_var"] + 1e-4) + weights[f"{here}.weight"]).exp()
            x = (x - weights[f"{here}.running_mean"]) * scale + weights[f"{here}.bias"]
            continue
        end = weights[f"{here}.sqrt_end_time"].item() ** 2
        for k in range(steps):
            t = torch.full_like(context[..., :1] if context.shape[-1] else x[..., :1], k * end / steps)
            c, h = torch.cat((t, context), -1), x
            for i in range(len(WIDTHS) + 1):
                h = apply(weights, f"{here}.odefunc.diffeq.layers.{i}", layer, c, h)
                h = torch.tanh(h) if i < len(WIDTHS) else h
            x = x + end / steps * h
    return x


@pytest.mark.parametrize("layer", EXTRA)
@pytest.mark.parametrize(("blocks", "with_norm"), [(1, True), (2, False)])
def test_layers(layer, blocks, with_norm):
    weights = public_weights(layer, blocks, with_norm)
    config = {"layer_type": layer, "nonlinearity": "tanh", "solver": "dopri5", "tol": 1e-5}
    flow = from_reference("pointflow", weights, config)
    for cnf in (*flow.point_cnf.blocks, *(m for m in flow.latent.transform if hasattr(m, "eval_solver"))):
        assert cnf.eval_solver.method == "dopri5" and cnf.eval_solver.rtol == 1e-5
        cnf.eval_solver = FixedGrid("euler", 4)
    plain = {name.replace(".module.", "."): value for name, value in weights.items()}
    x, z = torch.randn(2, 5, 3).double(), torch.randn(2, ZDIM).double()
    expected = push(plain, "point_cnf", layer, x, z[:, None].expand(-1, 5, -1), 4)
    torch.testing.assert_close(flow.point_cnf.points(x, z)[0].detach(), expected, rtol=1e-9, atol=1e-9)
    expected = push(plain, "latent_cnf", layer, z, z[:, :0], 4)
    torch.testing.assert_close(flow.latent.encode(z).detach(), expected, rtol=1e-9, atol=1e-9)


def test_what_is_no_pointflow_is_refused():
    weights = public_weights("ignore", 1, True)
    with pytest.raises(ValueError, match="unknown solver 'magic'"):
        from_reference("pointflow", weights, {"layer_type": "ignore", "solver": "magic"})
    some = {name: value for name, value in weights.items() if "point_cnf" not in name}
    with pytest.raises(ValueError, match="no name is point_cnf"):
        from_reference("pointflow", some, {"layer_type": "ignore"})
    with pytest.raises(ValueError, match=r"unknown reference kind 'pointflaw'.*did you mean 'pointflow'"):
        from_reference("pointflaw", weights, {})


@pytest.mark.parametrize("place", ["top", "flags", "files"])
def test_statistics_of_the_training_clouds(place, tmp_path):
    weights, mean, std = public_weights("ignore", 1, True), [[[0.1, -0.2, 0.3]]], [[[0.5]]]
    given = {"mean": mean, "std": std}
    if place == "files":
        for name, value in given.items():
            np.save(tmp_path / f"{name}.npy", np.array(value, np.float32))
        given = {name: str(tmp_path / f"{name}.npy") for name in given}
    flags = {"layer_type": "ignore"}
    config = {"config": {**flags, **given}} if place == "flags" else {"config": flags, **given}
    flow = from_reference("pointflow", weights, config)
    torch.testing.assert_close(flow.mean, torch.tensor(mean).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(flow.std, torch.full((1, 1, 3), 0.5).double())


def test_missing_and_wrong_statistics_are_named():
    weights, flags = public_weights("ignore", 1, True), {"layer_type": "ignore"}
    with pytest.warns(UserWarning, match="no mean and std of the training clouds"):
        assert (from_reference("pointflow", weights, flags).std == 1).all()
    for wrong, name in (
        ({"mean": [0, 0, 0]}, "std"),
        ({"mean": [0, 0], "std": 1}, "mean"),
        ({"std": 0, "mean": 0}, "std"),
    ):
        with pytest.raises(ValueError, match=f"^{name} must be 1 or 3 finite numbers"):
            from_reference("pointflow", weights, {**flags, **wrong})
    with pytest.raises(FileNotFoundError, match="gone"):
        from_reference("pointflow", weights, {**flags, "mean": "gone.npy", "std": 1.0})

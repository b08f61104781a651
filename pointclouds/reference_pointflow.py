"""Weights of stevenygd/PointFlow (@26e8c26) for `PointFlow`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

POINTFLOW = "flowsuite.pointclouds.PointFlow"
# Their names of a field layer's parts -> ours.
PARTS = {"_layer": "linear", "_hyper_gate": "gate", "_hyper": "gate", "_hyper_bias": "hyper_bias"}
SOLVERS = {"rk4": "rk4_38", "euler": "euler", "midpoint": "midpoint"}
ADAPTIVE = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")


def convert(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]):
    """`config` holds the command-line flags of the public code, at the top or under "config".

    Sizes are read off the weights; the flags say layer type, nonlinearity and solver. Weights saved from parallel
    wrappers (`.module.`) are taken as they are. The numbers of finished batches of the moving batch norms, of no use at
    bn_lag 0, and counters of evaluations are dropped.
    """
    flags = config.get("config", config)
    weights = {}
    for name, value in state_dict.items():
        value = torch.as_tensor(value)
        weights[re.sub(r"(^|\.)module\.", r"\1", name)] = value
    out: dict[str, Tensor] = {}
    deterministic = convert_encoder(weights, out)
    layer = str(flags.get("layer_type", "concatsquash"))
    point = convert_chain(weights, "point_cnf", out, "point_cnf.transforms", layer)
    latent = any(name.startswith("latent_cnf.") for name in weights)
    found = convert_chain(weights, "latent_cnf", out, "latent.transform.transforms", layer) if latent else {}
    dtype = weights["encoder.conv1.weight"].dtype
    out["mean"], out["std"] = torch.zeros(1, 1, 3, dtype=dtype), torch.ones(1, 1, 3, dtype=dtype)
    solver = convert_solver(flags)
    init_args = {
        "zdim": out["encoder.mean.6.bias"].numel(),
        "hidden": point["hidden"],
        "num_blocks": point["blocks"],
        "latent_hidden": found.get("hidden", [256, 256]),
        "latent_num_blocks": found.get("blocks", 1),
        "layer": layer,
        "activation": str(flags.get("nonlinearity", "tanh")),
        "batch_norm": point["batch_norm"],
        "legacy_batch_norm": point["batch_norm"],
        "deterministic": deterministic,
        "use_latent_flow": latent,
        "divergence": "hutchinson",
        "latent_divergence": "hutchinson",
        "train_end_time": bool(flags.get("train_T", True)),
        "solver": solver,
        "eval_solver": solver,
        "encoder_widths": [out[f"encoder.point_layers.{3 * i}.bias"].numel() for i in range(4)],
        "encoder_head": [out[f"encoder.mean.{3 * i}.bias"].numel() for i in range(2)],
    }
    return POINTFLOW, init_args, out


def convert_encoder(weights: Mapping[str, Tensor], out: dict[str, Tensor]) -> bool:
    """Writes the encoder's weights to `out`; whether it is deterministic."""
    for i in range(4):
        for part in ("weight", "bias"):
            value = weights[f"encoder.conv{i + 1}.{part}"]
            out[f"encoder.point_layers.{3 * i}.{part}"] = value.flatten(1) if part == "weight" else value
        convert_batch_norm(weights, f"encoder.bn{i + 1}", out, f"encoder.point_layers.{3 * i + 1}")
    variational = "encoder.fc3_m.weight" in weights or "encoder.fc3.weight" not in weights
    for suffix, head in (("_m", "mean"), ("_v", "log_var")) if variational else (("", "mean"),):
        for i in range(3):
            for part in ("weight", "bias"):
                out[f"encoder.{head}.{3 * i}.{part}"] = weights[f"encoder.fc{i + 1}{suffix}.{part}"]
        for i in range(2):
            convert_batch_norm(weights, f"encoder.fc_bn{i + 1}{suffix}", out, f"encoder.{head}.{3 * i + 1}")
    return not variational


def convert_batch_norm(weights: Mapping[str, Tensor], theirs: str, out: dict[str, Tensor], ours: str) -> None:
    for part in ("weight", "bias", "running_mean", "running_var"):
        out[f"{ours}.{part}"] = weights[f"{theirs}.{part}"]
    batches = weights.get(f"{theirs}.num_batches_tracked", torch.tensor(0))
    out[f"{ours}.num_batches_tracked"] = batches.reshape(()).long()


def convert_chain(weights: Mapping[str, Tensor], theirs: str, out: dict[str, Tensor], ours: str, layer: str) -> dict:
    """Writes a chain of CNFs and moving batch norms to `out`; what sizes it has."""
    numbers = {int(match.group(1)) for name in weights if (match := re.match(rf"{theirs}\.chain\.(\d+)\.", name))}
    if not numbers:
        raise ValueError(f"these are not the weights of a PointFlow: no name begins with {theirs}.chain.0")
    blocks, hidden = 0, []
    for i in sorted(numbers):
        source, target = f"{theirs}.chain.{i}", f"{ours}.{i}"
        if f"{source}.sqrt_end_time" in weights:
            blocks += 1
            out[f"{target}.sqrt_end_time"] = weights[f"{source}.sqrt_end_time"].reshape(())
            hidden = convert_field(weights, f"{source}.odefunc.diffeq", out, f"{target}.field", layer)
        else:
            names = {"weight": "log_scale", "bias": "shift", "running_mean": "running_mean", "running_var": None}
            for name, renamed in names.items():
                out[f"{target}.{renamed or name}"] = weights[f"{source}.{name}"]
    return {"blocks": blocks, "hidden": hidden, "batch_norm": len(numbers) > blocks}


def convert_field(
    weights: Mapping[str, Tensor], theirs: str, out: dict[str, Tensor], ours: str, layer: str
) -> list[int]:
    """Writes a field to `out`; the widths of its hidden layers."""
    widths = []
    pattern = re.compile(re.escape(theirs) + r"\.layers\.(\d+)\.(\w+)\.(weight|bias)$")
    for name, value in weights.items():
        match = pattern.match(name)
        if match:
            i, part, kind = match.groups()
            out[f"{ours}.layers.{i}.{PARTS[part]}.{kind}"] = value
        elif name.startswith(f"{theirs}.activation_fns."):
            out[name.replace(f"{theirs}.activation_fns.", f"{ours}.activations.")] = value
    i = 0
    while f"{ours}.layers.{i}.linear.weight" in out:
        widths.append(out[f"{ours}.layers.{i}.linear.bias"].numel())
        i += 1
    if layer == "concat":
        split_concat(out, ours, widths)
    return widths[:-1]


def split_concat(out: dict[str, Tensor], ours: str, widths: list[int]) -> None:
    """A layer on [t; c; x] has one matrix there; here x has its own, the last columns."""
    inputs = [widths[-1], *widths[:-1]]
    for i, size in enumerate(inputs):
        whole = out[f"{ours}.layers.{i}.linear.weight"]
        out[f"{ours}.layers.{i}.hyper_bias.weight"] = whole[:, :-size].contiguous()
        out[f"{ours}.layers.{i}.linear.weight"] = whole[:, -size:].contiguous()


def convert_solver(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The solver of the flags, as data."""
    method, tolerance = str(flags.get("solver", "dopri5")), flags.get("tol")
    if method in SOLVERS:
        step = flags.get("step_size")
        arguments = {"step_size": float(step)} if step else {"steps": 1}
        return {"class_path": "flowsuite.core.ode.FixedGrid", "init_args": {"method": SOLVERS[method], **arguments}}
    if method not in ADAPTIVE:
        raise ValueError(f"unknown solver {method!r} of a PointFlow: expected {', '.join((*SOLVERS, *ADAPTIVE))}")
    tolerances = {
        name: float(tolerance if tolerance is not None else flags.get(name, 1e-5)) for name in ("rtol", "atol")
    }
    return {"class_path": "flowsuite.core.ode.Adaptive", "init_args": {"method": method, **tolerances}}

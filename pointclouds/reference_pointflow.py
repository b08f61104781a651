"""Weights of stevenygd/PointFlow (@26e8c26) for `PointFlow`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.reference_fields import convert_chain, convert_solver, hidden_sizes, plain_weights
from flowsuite.core.training.numpy_files import load_npy

POINTFLOW = "flowsuite.pointclouds.PointFlow"


def convert(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]):
    """`config` holds the command-line flags of the public code, at the top or under "config", and may hold the
    statistics that the clouds were normalised with, see `normalization`. Sizes are read off the weights; the flags say
    layer type, nonlinearity and solver. Weights saved from parallel wrappers (`.module.`) are taken as they are. The
    numbers of finished batches of the moving batch norms, of no use at bn_lag 0, and counters of evaluations are
    dropped.
    """
    flags = config.get("config", config)
    weights, out = plain_weights(state_dict), {}
    deterministic = convert_encoder(weights, out)
    layer, latent = str(flags.get("layer_type", "concatsquash")), any(n.startswith("latent_cnf.") for n in weights)
    point = convert_chain(weights, "point_cnf.", "point_cnf.transforms.", layer, hidden_sizes(flags))
    out |= point.weights
    sizes = {}
    if latent:
        codes = hidden_sizes({"dims": flags.get("latent_dims")})
        found = convert_chain(weights, "latent_cnf.", "latent.transform.transforms.", layer, codes)
        out |= found.weights
        sizes = {"latent_hidden": found.hidden, "latent_num_blocks": found.blocks}
    dtype = weights["encoder.conv1.weight"].dtype
    out |= {name: value.to(dtype) for name, value in normalization({**config, **flags}).items()}
    solver = convert_solver(flags)
    init_args = {
        "zdim": out["encoder.mean.6.bias"].numel(),
        "hidden": point.hidden,
        "num_blocks": point.blocks,
        **sizes,
        "layer": layer,
        "activation": str(flags.get("nonlinearity", "tanh")),
        "batch_norm": point.batch_norm,
        "legacy_batch_norm": point.batch_norm,
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


def normalization(config: Mapping[str, Any]) -> dict[str, Tensor]:
    """`mean` and `std` of the training clouds, (1, 1, 3) each; 0 and 1, with a warning, where `config` has neither.

    The public code saves them beside its checkpoints as `train_set_mean.npy` and `train_set_std.npy`: `config` gives
    the paths of such files, or the numbers.
    """
    if "mean" not in config and "std" not in config:
        warnings.warn(
            "the configuration has no mean and std of the training clouds: samples will be in normalised units. Give "
            'them as numbers or as paths: "mean": "train_set_mean.npy", "std": "train_set_std.npy"',
            stacklevel=2,
        )
        return {"mean": torch.zeros(1, 1, 3), "std": torch.ones(1, 1, 3)}
    found = {}
    for name in ("mean", "std"):
        given = config.get(name)
        try:
            value = torch.as_tensor(load_npy(given) if isinstance(given, str) else given, dtype=torch.float64)
        except (TypeError, RuntimeError):
            value = torch.empty(0)
        lowest = 0.0 if name == "std" else -torch.inf
        if value.numel() not in (1, 3) or not (value.isfinite() & (value > lowest)).all():
            raise ValueError(f"{name} must be 1 or 3 finite numbers (std > 0), or a .npy file with them, got {given!r}")
        found[name] = value.reshape(1, 1, -1).expand(1, 1, 3).clone()
    return found

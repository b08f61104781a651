"""Masked autoregressive transforms and splines of nflows (bayesiains/nflows), as flowsuite models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.nets.made import hidden_degrees

ROOT = "autoregressive_net."
NET = "transform.transforms.0.net."


def _masked_layers(num_blocks: int, residual: bool) -> list[tuple[str, str]]:
    """(nflows' name, ours) of every masked layer, first to last."""
    inner = [("linear_layers.0", "first"), ("linear_layers.1", "second")] if residual else [("linear", "linear")]
    blocks = [(f"blocks.{i}.{theirs}", f"blocks.{i}.{ours}") for i in range(num_blocks) for theirs, ours in inner]
    return [("initial_layer", "first"), *blocks, ("final_layer", "last")]


def convert_maf(
    state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """`MaskedAffine-` or `MaskedPiecewiseRationalQuadraticAutoregressiveTransform` as a one-layer `MAF`.

    The shape of the network and the degrees are read off the weights. `config` gives `kind` ("affine" or "rq"), and for
    splines `tail_bound`, and `min_bin_width`, `min_bin_height`, `min_derivative` where they are not 1e-3.
    """
    weights = {name.split(ROOT, 1)[-1]: torch.as_tensor(value) for name, value in state_dict.items()}
    if "initial_layer.weight" not in weights or "final_layer.weight" not in weights:
        raise ValueError(
            f"expected the weights {ROOT}initial_layer.weight and {ROOT}final_layer.weight of an nflows MADE"
        )
    hidden, dims = weights["initial_layer.weight"].shape
    n_params = weights["final_layer.weight"].shape[0] // dims
    kind = config.get("kind")
    if kind not in ("affine", "rq"):
        raise ValueError(f'config["kind"] must be "affine" or "rq", got {kind!r}')
    num_blocks = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
    residual = bool(config.get("residual", any(".linear_layers." in name for name in weights)))
    context = weights.get("context_layer.weight")

    converted, used = {}, set()
    degrees = torch.arange(1, dims + 1)
    for theirs, ours in _masked_layers(num_blocks, residual):
        default = degrees.repeat_interleave(n_params) if ours == "last" else hidden_degrees(hidden, dims)
        out_degrees = weights.get(f"{theirs}.degrees", default)
        converted |= {f"{ours}.{part}": weights[f"{theirs}.{part}"] for part in ("weight", "bias")}
        used |= {f"{theirs}.{part}" for part in ("weight", "bias", "mask", "degrees")}
        converted |= {f"{ours}.in_degrees": degrees, f"{ours}.out_degrees": out_degrees}
        degrees = out_degrees
    for name, value in weights.items():
        if "context_layer." in name:
            converted[name.replace("context_layer.", "context.")] = value
            used.add(name)
    if set(weights) - used:
        raise ValueError(f"these weights have no place in a MADE: {', '.join(sorted(set(weights) - used))}")

    init_args = {
        "dims": dims,
        "n_layers": 1,
        "hidden_features": hidden,
        "num_blocks": num_blocks,
        "residual": residual,
        "context_features": 0 if context is None else context.shape[1],
    }
    if kind == "affine":
        # nflows puts the scale before the shift.
        for part in ("weight", "bias"):
            converted[f"last.{part}"] = converted[f"last.{part}"].unflatten(0, (dims, 2)).flip(1).flatten(0, 1)
        init_args |= {"elementwise": "affine", "scale": "softplus"}
    else:
        # nflows divides the logits by sqrt(hidden) only if the net has an attribute that its MADE lacks: never.
        init_args |= {
            "elementwise": "spline",
            "num_bins": (n_params + 1) // 3,
            "logit_divisor": 1.0,
            **_spline_options(config),
        }
    return "flowsuite.core.maf.MAF", init_args, {NET + name: value for name, value in converted.items()}


def convert_spline(
    state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """Raw spline parameters `widths`, `heights` (N, K), `derivatives` (N, K - 1) as a `SplineFlow` on N dimensions."""
    missing = [name for name in ("widths", "heights", "derivatives") if name not in state_dict]
    if missing:
        raise ValueError(
            f"expected the spline parameters widths, heights and derivatives, missing: {', '.join(missing)}"
        )
    params = torch.cat([torch.as_tensor(state_dict[name]) for name in ("widths", "heights", "derivatives")], dim=-1)
    init_args = {"dims": params.shape[0], "num_bins": (params.shape[1] + 1) // 3, **_spline_options(config)}
    return "flowsuite.core.spline_flow.SplineFlow", init_args, {"transform.params": params}


def _spline_options(config: Mapping[str, Any]) -> dict[str, float]:
    names = ("tail_bound", "min_bin_width", "min_bin_height", "min_derivative")
    return {name: float(config[name]) for name in names if name in config}

"""Planar and radial flows of VincentStimper/normalizing-flows (1.7.3) and the IAF of riannevdberg/sylvester-flows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Converted = tuple[str, dict[str, Any], dict[str, Tensor]]
POSTERIOR = "flowsuite.core.variational.posterior.Posterior"
LAYERS = "transform.transform.transforms."  # of a posterior's flow, inside Inverse and Compose
LEAKY_SLOPE = 0.2  # normflows' default


def _numbered(state_dict: Mapping[str, Tensor], prefix: str, names: tuple[str, ...]) -> list[dict[str, Tensor]]:
    """The arrays `names` of layers `prefix`0, `prefix`1, ... in float; every one must be there."""
    weights = {name: torch.as_tensor(value) for name, value in state_dict.items() if name.startswith(prefix)}
    heads = {name: name.removeprefix(prefix).split(".")[0] for name in weights}
    strange = next((name for name, head in heads.items() if not head.isdecimal()), None)
    if strange:
        raise ValueError(f"there is no place for {strange}: expected the weights {prefix}<k>.<{', '.join(names)}>")
    numbers = sorted({int(head) for head in heads.values()})
    missing = [f"{prefix}{k}.{name}" for k in numbers for name in names if f"{prefix}{k}.{name}" not in weights]
    if missing or not numbers or numbers != list(range(len(numbers))):
        what = ", ".join(missing[:3]) if missing else "layers numbered from 0 without gaps"
        raise ValueError(f"expected the weights {prefix}<k>.<{', '.join(names)}>, missing: {what}")
    return [{name: weights[f"{prefix}{k}.{name}"] for name in names} for k in numbers]


def _stack(layers: list[dict[str, Tensor]], name: str) -> Tensor:
    """One parameter of all layers: (K, numel)."""
    return torch.stack([layer[name].flatten() for layer in layers])


def convert_planar(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Converted:
    """`Planar` layers `<k>.u`, `<k>.w`, `<k>.b` over a standard normal.

    `config` gives `kind`, "planar" (tanh) or "planar_leaky", and for the latter `negative_slope` where it is not 0.2.
    """
    kind = config.get("kind", "planar")
    if kind not in ("planar", "planar_leaky"):
        raise ValueError(f'config["kind"] must be "planar" or "planar_leaky", got {kind!r}')
    layers = _numbered(state_dict, "", ("u", "w", "b"))
    weights = {"u": _stack(layers, "u"), "w": _stack(layers, "w"), "b": _stack(layers, "b").flatten()}
    options = {"activation": "tanh"}
    if kind == "planar_leaky":
        options = {"activation": "leaky_relu", "negative_slope": float(config.get("negative_slope", LEAKY_SLOPE))}
    return _posterior("planar", weights, weights["u"], options)


def convert_radial(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Converted:
    """`Radial` layers `<k>.z_0`, `<k>.alpha`, `<k>.beta` over a standard normal.

    normflows' alpha enters as |alpha|, ours as softplus: `raw_alpha = log(expm1(|alpha|))`. Where alpha is 0 its layer
    is no bijection, and is refused.
    """
    layers = _numbered(state_dict, "", ("z_0", "alpha", "beta"))
    alpha = _stack(layers, "alpha").flatten().abs()
    if not alpha.all():
        raise ValueError(f"{int((alpha == 0).nonzero()[0])}.alpha is 0: a radial layer needs |alpha| > 0")
    weights = {
        "centre": _stack(layers, "z_0"),
        "raw_alpha": alpha + torch.log(-torch.expm1(-alpha)),
        "raw_beta": _stack(layers, "beta").flatten(),
    }
    return _posterior("radial", weights, weights["centre"], {})


def _posterior(kind: str, weights: dict[str, Tensor], rows: Tensor, options: dict[str, Any]) -> Converted:
    init_args = {
        "dims": rows.shape[1],
        "kind": kind,
        "n_layers": rows.shape[0],
        "gaussian": False,
        "options": options,
    }
    return POSTERIOR, init_args, {f"{LAYERS}0.{name}": value for name, value in weights.items()}


def convert_iaf(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Converted:
    """The inverse autoregressive posterior over standard noise: `iaf.<k>.<in|hidden|mean|gate>.<weight|bias|mask>`.

    Its weights are (in, out). What its masks remove is written as 0, for ours, made of degrees, remove less in hidden
    layers: an odd unit there may see the even one before it. The context is the one that is added to the hidden layer.
    """
    parts = ("in", "hidden", "mean", "gate")
    names = tuple(f"{part}.{array}" for part in parts for array in ("weight", "bias", "mask"))
    layers = _numbered(state_dict, "iaf.", names)
    dims, hidden = layers[0]["in.weight"].shape
    converted = {}
    for k, layer in enumerate(layers):
        ours = f"{LAYERS}{k + (k + 1) // 2}.net."  # a reversal before every second
        converted |= {ours + name: value for name, value in _made(layer, dims, hidden).items()}
    init_args = {
        "dims": dims,
        "kind": "iaf",
        "n_layers": len(layers),
        "context_features": hidden,
        "gaussian": False,
        "options": {"hidden_features": hidden},
    }
    return POSTERIOR, init_args, converted


def _made(layer: Mapping[str, Tensor], dims: int, hidden: int) -> dict[str, Tensor]:
    """One MADE of ours: a hidden unit's degree is the number of features that it sees."""
    matrices = {part: layer[f"{part}.weight"] * layer[f"{part}.mask"] for part in ("in", "hidden", "mean", "gate")}
    dtype = matrices["in"].dtype
    inputs = torch.arange(1, dims + 1)
    degrees = layer["in.mask"].bool().sum(0)
    allowed = {
        "in": degrees >= inputs[:, None],
        "hidden": degrees >= degrees[:, None],
        "mean": inputs > degrees[:, None],
    }
    allowed["gate"] = allowed["mean"]
    for part, mask in allowed.items():
        if bool((matrices[part] * ~mask).any()):
            raise ValueError(f"the mask of iaf's {part!r} layer is not autoregressive in the order of the features")
    outputs = inputs.repeat_interleave(2)
    last = torch.stack([matrices["mean"].T, matrices["gate"].T], 1).flatten(0, 1)
    last_bias = torch.stack([layer["mean.bias"], layer["gate.bias"]], 1).flatten()
    linears = {
        "first": (matrices["in"].T, layer["in.bias"], inputs, degrees),
        "blocks.0.linear": (matrices["hidden"].T, layer["hidden.bias"], degrees, degrees),
        "last": (last, last_bias, degrees, outputs),
    }
    converted = {"context.weight": torch.eye(hidden, dtype=dtype), "context.bias": torch.zeros(hidden, dtype=dtype)}
    for name, (weight, bias, into, out) in linears.items():
        converted |= {f"{name}.weight": weight.contiguous(), f"{name}.bias": bias.to(dtype)}
        converted |= {f"{name}.in_degrees": into, f"{name}.out_degrees": out}
    return converted

"""Fields and solvers of rtqichen/ffjord and its offspring, by our names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

# Their names of a layer's parts -> ours; of a convolution the "linear" part is called "conv".
PARTS = {
    "_layer": "linear",
    "_hyper_gate": "gate",
    "_hyper": "gate",
    "_hyper_bias": "hyper_bias",
    "_layer0": "start",
    "_layer1": "end",
    "_hypernet.0": "hypernet.net.0",
    "_hypernet.2": "hypernet.net.2",
}
NORMALIZER = {"weight": "log_scale", "bias": "shift", "running_mean": "running_mean", "running_var": "running_var"}
FIXED = {"rk4": "rk4_38", "euler": "euler", "midpoint": "midpoint"}
ADAPTIVE = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")


def plain_weights(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, without the `.module.` of parallel wrappers and without counters of evaluations."""
    weights = {re.sub(r"(^|\.)module\.", r"\1", name): torch.as_tensor(value) for name, value in state_dict.items()}
    return {name: value for name, value in weights.items() if not name.endswith("_num_evals")}


def under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What lies under `prefix`, by the rest of its name."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def chain_numbers(names: Iterable[str], prefix: str) -> list[int]:
    """The numbers i of the elements `<prefix>chain.<i>` that have weights."""
    pattern = re.compile(re.escape(prefix) + r"chain\.(\d+)\.")
    return sorted({int(match.group(1)) for name in names if (match := pattern.match(name))})


@dataclass
class Chain:
    """What the weights of a chain of CNFs and moving batch norms say.

    Attributes:
        weights: by our names.
        features: of the state, or channels.
        hidden: sizes of the hidden layers of a field.
        blocks: number of CNFs.
        batch_norm: whether there are moving batch norms.
        bottleneck: whether the fields are autoencoders, whose trace is estimated in the middle.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    features: int = 0
    hidden: list[int] = field(default_factory=list)
    blocks: int = 0
    batch_norm: bool = False
    bottleneck: bool = False


def convert_chain(
    weights: Mapping[str, Tensor],
    theirs: str,
    ours: str,
    layer: str,
    hidden: Sequence[int] = (),
    strides: Sequence[int] | None = None,
    skip: int = 0,
) -> Chain:
    """`<theirs>chain.<i>` to `<ours><i - skip>`.

    Args:
        weights: of the public model.
        theirs, ours: beginnings of the names.
        layer: layer type.
        hidden: sizes of the hidden layers; needed for "hyper", whose weights don't tell them.
        strides: of convolutions; None for fully connected layers.
        skip: elements without a counterpart at the beginning.
    """
    found = Chain()
    for i in chain_numbers(weights, theirs):
        element, target = under(weights, f"{theirs}chain.{i}."), f"{ours}{i - skip}"
        if "sqrt_end_time" in element:
            found.weights[f"{target}.sqrt_end_time"] = element["sqrt_end_time"].reshape(())
            converted, sizes = convert_field(element, layer, hidden, strides)
            found.weights |= {f"{target}.field.{name}": value for name, value in converted.items()}
            found.blocks, found.hidden, found.features = found.blocks + 1, sizes[:-1], sizes[-1]
            found.bottleneck = any("encoder_layers." in name for name in element)
        else:
            found.weights |= {f"{target}.{mine}": element[name] for name, mine in NORMALIZER.items()}
            found.batch_norm = True
    if not found.blocks:
        raise ValueError(f"these are not the weights of an FFJORD: no name is {theirs}chain.<i>.sqrt_end_time")
    return found


def convert_field(
    element: Mapping[str, Tensor], layer: str, hidden: Sequence[int] = (), strides: Sequence[int] | None = None
) -> tuple[dict[str, Tensor], list[int]]:
    """`(weights of our field, output sizes of its layers)`, from those of one CNF; see `convert_chain`."""
    pattern = re.compile(r"(?:.*\.)?(encoder_|decoder_|)layers\.(\d+)\.(\w+(?:\.\d)?)\.(weight|bias)$")
    layers: dict[tuple[bool, int], dict[str, Tensor]] = {}
    for name, value in element.items():
        if match := pattern.match(name):
            side, i, part, kind = match.groups()
            layers.setdefault((side != "encoder_", int(i)), {})[f"{part}.{kind}"] = value
    ordered = [layers[key] for key in sorted(layers)]
    steps = [1] * len(ordered) if strides is None else list(strides)
    if not ordered:
        raise ValueError(f"no layers of a field among these weights: {', '.join(element) or 'none'}")
    if len(steps) != len(ordered):
        raise ValueError(f"expected a field of {len(steps)} layers, one a stride, got {len(ordered)}")
    sizes = output_sizes(ordered, list(hidden), None if strides is None else steps)
    out: dict[str, Tensor] = {}
    for i, (parts, stride) in enumerate(zip(ordered, steps, strict=True)):
        converted = convert_layer(parts, layer, sizes[i - 1], stride)
        if layer == "hyper" and strides is not None:
            unshare_bias(converted, sizes[i])
        out |= {f"layers.{i}.{name}": value for name, value in converted.items()}
    decoder = sum(not decoder for decoder, _ in layers)
    for name, value in element.items():
        if match := re.match(r"(?:.*\.)?(decoder_|encoder_|)activation_fns\.(\d+)\.beta$", name):
            i = int(match.group(2)) + (decoder if match.group(1) == "decoder_" else 0)
            out[f"activations.{i}.beta"] = value.reshape(())
    return out, sizes


def output_sizes(layers: list[dict[str, Tensor]], hidden: list[int], strides: list[int] | None) -> list[int]:
    """Output features, or channels, of every layer."""
    if "_hypernet.2.bias" not in layers[0]:
        return [parts["_layer.bias" if "_layer.bias" in parts else "_layer0.bias"].numel() for parts in layers]
    if len(hidden) != len(layers) - 1:
        raise ValueError(f"the weights of hyper layers don't tell their sizes: give {len(layers) - 1} hidden sizes")
    if not hidden:
        raise ValueError("a hyper field without hidden layers doesn't tell its size")
    cells = 1 if strides is None else 9 if strides[-1] == 1 else 16
    return [*hidden, layers[-1]["_hypernet.2.bias"].numel() // (hidden[-1] * cells + 1)]


def unshare_bias(layer: dict[str, Tensor], outputs: int) -> None:
    """The public convolution takes its weight from the first numbers emitted, the bias among them; ours comes after."""
    for kind in ("weight", "bias"):
        emitted = layer[f"hypernet.net.2.{kind}"]
        layer[f"hypernet.net.2.{kind}"] = torch.cat((emitted[:outputs], emitted[:-outputs]))


def convert_layer(parts: Mapping[str, Tensor], layer: str, inputs: int, stride: int) -> dict[str, Tensor]:
    """The weights of one layer that takes `inputs` features besides time, context and coordinates."""
    out = {}
    for name, value in parts.items():
        part, _, kind = name.rpartition(".")
        if part not in PARTS:
            raise ValueError(f"no layer of type {layer!r} has a weight {name!r}")
        out[f"{PARTS[part]}.{kind}"] = value
    is_conv = "linear.weight" in out and out["linear.weight"].ndim == 4
    if layer in ("concat", "concatcoord"):
        axis = 0 if stride < 0 else 1
        whole = out.pop("linear.weight")
        extra = whole.shape[axis] - inputs
        if layer == "concat" or not is_conv:
            constants, own = whole.split((extra, inputs), dim=axis)
        else:
            own, constants = whole.split((inputs, extra), dim=axis)
        out["linear.weight"] = own.contiguous()
        out["constants.weight" if is_conv else "hyper_bias.weight"] = constants.contiguous()
    if is_conv:
        out = {name.replace("linear.", "conv."): value for name, value in out.items()}
    return out


def convert_solver(flags: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The solver of the command-line flags, as data; `prefix="test_"` for that of evaluation.

    The public code drops the step size in evaluation and then takes a single step: ours keeps it.
    """

    def flag(name: str, default: Any) -> Any:
        for key in (prefix + name, name):
            if flags.get(key) is not None:
                return flags[key]
        return default

    method, tolerance = str(flag("solver", "dopri5")), flag("tol", None)
    if method in FIXED:
        step = flag("step_size", None)
        arguments = {"step_size": float(step)} if step else {"steps": 1}
        return {"class_path": "flowsuite.core.ode.FixedGrid", "init_args": {"method": FIXED[method], **arguments}}
    if method not in ADAPTIVE:
        raise ValueError(f"unknown solver {method!r}: expected one of {', '.join((*FIXED, *ADAPTIVE))}")
    tolerances = {name: float(flag(name, 1e-5) if tolerance is None else tolerance) for name in ("rtol", "atol")}
    return {"class_path": "flowsuite.core.ode.Adaptive", "init_args": {"method": method, **tolerances}}


def hidden_sizes(flags: Mapping[str, Any]) -> list[int]:
    """Sizes of the hidden layers, if the flags give them: "64-64-64", "64,64,64" or a list."""
    given = flags.get("hidden", flags.get("dims")) or ()
    return [int(n) for n in (re.split("[-,]", given) if isinstance(given, str) else given)]


def field_settings(flags: Mapping[str, Any], chain: Chain, layer: str, rademacher: bool) -> dict[str, Any]:
    """What flags and weights say of a flow of CNFs, as arguments of `FFJORD` and `ImageFFJORD`.

    Args:
        flags: the command-line flags.
        chain: one of its chains.
        layer: layer type.
        rademacher: the script's default for that flag.
    """
    probe = "rademacher" if flags.get("rademacher", rademacher) else "hutchinson"
    if chain.bottleneck:
        probe = "bottleneck" if probe == "hutchinson" else "bottleneck_rademacher"
    length = flags.get("time_length")
    return {
        "hidden": chain.hidden,
        "layer": layer,
        "activation": str(flags.get("nonlinearity", "softplus")),
        "residual": bool(flags.get("residual", False)),
        "batch_norm": chain.batch_norm,
        "end_time": 1.0 if length is None or layer == "blend" else float(length),
        "train_end_time": layer != "blend" and bool(flags.get("train_T", True)),
        "divergence": "exact" if flags.get("divergence_fn") == "brute_force" else probe,
        "solver": convert_solver(flags),
        "eval_solver": convert_solver(flags, "test_"),
    }

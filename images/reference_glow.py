"""Weights of openai/glow and of rosinality/glow-pytorch for `Glow`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.training.reference_tf import (
    deinterleave,
    read_actnorm,
    read_conv,
    read_inverted_conv,
    reorder_outputs,
)

PERMUTATIONS = ("reverse", "shuffle", "conv1x1")
GLOW = "flowsuite.images.Glow"


def convert_port(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]):
    """rosinality/glow-pytorch. `config` gives `size` (one number, or height and width) and `n_bits` (5 if absent).

    That code builds its last level with the LU convolution whatever was asked for: every level's kind is read off its
    weights.
    """
    weights = {name: torch.as_tensor(value) for name, value in state_dict.items()}
    levels, steps = (1 + max(_numbers(weights, pattern)) for pattern in (r"^blocks\.(\d+)\.", r"\.flows\.(\d+)\."))
    channels = weights["blocks.0.flows.0.actnorm.loc"].numel() // 4
    net = "blocks.0.flows.0.coupling.net"
    out: dict[str, Tensor] = {}
    kinds = []
    for level in range(levels):
        lu = f"blocks.{level}.flows.0.invconv.w_l" in weights
        kinds.append("conv1x1_lu" if lu else "conv1x1")
        for step in range(steps):
            _port_step(weights, f"blocks.{level}.flows.{step}", out, _step(level, step), lu)
        prior = f"{_body()}.splits.{level}.net" if level < levels - 1 else f"{_body()}.top.net"
        _port_zero_conv(weights, f"blocks.{level}.prior", out, prior)
    init_args = {
        "image_shape": _image_shape(channels, config),
        "levels": levels,
        "steps": steps,
        "width": weights[f"{net}.0.weight"].shape[0],
        "coupling": "affine" if weights[f"{net}.4.conv.weight"].shape[0] == 4 * channels else "additive",
        "permutation": kinds,
        "n_bits": int(config.get("n_bits", 5)),
        "convention": "port",
    }
    return GLOW, init_args, out


def convert_official(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]):
    """openai/glow (NHWC, HWIO): `config` holds its command-line flags (`size`, `flow_permutation`, `learntop`, ...)."""
    weights = {name: torch.as_tensor(value) for name, value in state_dict.items()}
    levels = 1 + max(_numbers(weights, r"^model/(\d+)/"))
    steps = 1 + max(_numbers(weights, r"^model/\d+/(\d+)/"))
    channels = weights["model/0/0/actnorm_center/b"].numel() // 4
    permutation = PERMUTATIONS[int(config.get("flow_permutation", 2))]
    if "model/0/0/invconv/L" in weights:
        permutation = "conv1x1_lu"
    conditional = "model/prior/y_emb/W" in weights
    out: dict[str, Tensor] = {}
    for level in range(levels):
        for step in range(steps):
            _official_step(weights, f"model/{level}/{step}", out, _step(level, step), permutation)
        if level < levels - 1:
            split = f"{_body()}.splits.{level}.net"
            read_conv(weights, f"model/pool{level}/conv", out, split)
            reorder_outputs(out, split, deinterleave)
    top = f"{_body()}.top"
    if "model/prior/p/W" in weights:
        read_conv(weights, "model/prior/p", out, f"{top}.net")
    if conditional:
        for ours, theirs in (("class_weight", "W"), ("class_bias", "b"), ("class_log_scale", "logs")):
            value = weights[f"model/prior/y_emb/{theirs}"]
            out[f"{top}.{ours}"] = value if theirs == "W" else value.flatten()
    if "model/classifier/W" in weights:
        scale = (3 * weights["model/classifier/logs"].flatten()).exp()
        out["classifier.weight"] = (weights["model/classifier/W"] * scale).T.contiguous()
        out["classifier.bias"] = weights["model/classifier/b"].flatten() * scale
    init_args = {
        "image_shape": _image_shape(channels, config),
        "levels": levels,
        "steps": steps,
        "width": weights["model/0/0/f1/l_1/W"].shape[-1],
        "coupling": "affine" if weights["model/0/0/f1/l_last/W"].shape[-1] == 4 * channels else "additive",
        "permutation": permutation,
        "n_bits": int(config.get("n_bits_x", config.get("n_bits", 8))),
        "learn_top": "model/prior/p/W" in weights,
        "n_classes": weights["model/prior/y_emb/W"].shape[0] if conditional else 0,
        "classifier": "classifier.weight" in out,
    }
    return GLOW, init_args, out


def _numbers(weights: Mapping[str, Tensor], pattern: str) -> list[int]:
    found = [int(match.group(1)) for name in weights if (match := re.search(pattern, name))]
    if not found:
        raise ValueError(f"these are not the weights of that Glow: no name matches {pattern!r}")
    return found


def _image_shape(channels: int, config: Mapping[str, Any]) -> list[int]:
    size = config.get("size", config.get("image_size", config.get("img_size")))
    if size is None:
        raise ValueError("the config of a Glow must give the image size as 'size'")
    height, width = (size, size) if isinstance(size, int) else size
    return [channels, int(height), int(width)]


def _body() -> str:
    return "transform.transforms.2"


def _step(level: int, step: int) -> str:
    return f"{_body()}.levels.{level}.transforms.1.transforms.{step}.transforms"


def _port_step(weights, theirs: str, out: dict[str, Tensor], ours: str, lu: bool) -> None:
    out[f"{ours}.0.shift"] = weights[f"{theirs}.actnorm.loc"].flatten()
    out[f"{ours}.0.scale"] = weights[f"{theirs}.actnorm.scale"].flatten()
    out[f"{ours}.0.initialized"] = weights[f"{theirs}.actnorm.initialized"].bool()
    if lu:
        names = {"permutation": "w_p", "lower": "w_l", "upper": "w_u", "log_s": "w_s", "sign": "s_sign"}
        for name, theirs_name in names.items():
            out[f"{ours}.1.{name}"] = weights[f"{theirs}.invconv.{theirs_name}"]
    else:
        out[f"{ours}.1.weight"] = weights[f"{theirs}.invconv.weight"][:, :, 0, 0]
    for i, layer in enumerate(("0", "2")):
        for part in ("weight", "bias"):
            out[f"{ours}.2.net.layers.{i}.{part}"] = weights[f"{theirs}.coupling.net.{layer}.{part}"]
    _port_zero_conv(weights, f"{theirs}.coupling.net.4", out, f"{ours}.2.net.layers.2")
    if out[f"{ours}.2.net.layers.2.bias"].numel() == out[f"{ours}.0.shift"].numel():  # affine: the scale comes first
        reorder_outputs(out, f"{ours}.2.net.layers.2", lambda rows: rows.roll(rows.shape[0] // 2, 0))


def _port_zero_conv(weights, theirs: str, out: dict[str, Tensor], ours: str) -> None:
    out[f"{ours}.weight"] = weights[f"{theirs}.conv.weight"]
    out[f"{ours}.bias"] = weights[f"{theirs}.conv.bias"]
    out[f"{ours}.log_scale"] = weights[f"{theirs}.scale"].flatten()


def _official_step(weights, theirs: str, out: dict[str, Tensor], ours: str, permutation: str) -> None:
    read_actnorm(weights, f"{theirs}/actnorm", out, f"{ours}.0")
    if permutation == "conv1x1":
        out[f"{ours}.1.weight"] = weights[f"{theirs}/invconv/W"].T.contiguous()
    elif permutation == "conv1x1_lu":
        read_inverted_conv(weights, f"{theirs}/invconv", out, f"{ours}.1")
    elif permutation == "shuffle":
        out[f"{ours}.1.order"] = weights[f"{theirs}/shuffle/indices"].long()
    else:
        out[f"{ours}.1.order"] = torch.arange(out[f"{ours}.0.shift"].numel()).flip(0)
    for i, layer in enumerate(("l_1", "l_2")):
        read_conv(weights, f"{theirs}/f1/{layer}", out, f"{ours}.2.net.layers.{i}")
    last = f"{ours}.2.net.layers.2"
    read_conv(weights, f"{theirs}/f1/l_last", out, last)
    if out[f"{last}.bias"].numel() == out[f"{ours}.0.shift"].numel():  # affine
        reorder_outputs(out, last, deinterleave)

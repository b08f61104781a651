"""Weights of the published RealNVP (laurent-dinh/models and tensorflow/models, real_nvp) for `RealNVP`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flowsuite.images.realnvp import reorder_cells

VARIABLE = re.compile(r"(?:.*/)?scale_(\d+)/coupling_(\d+)/(.+?)(?::0)?")
LEAVES = {
    "weights": "weight",
    "biases": "bias",
    "magnitude": "magnitude",
    "beta": "bias",
    "mean": "running_mean",
    "var": "running_var",
    "step": "step",
}
SCALARS = {"rescaling_scale": "map.scale.scale", "scale": "map.scale.scale", "scale_shift": "map.scale.offset"}


def _modules(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Patterns of the published scopes inside a coupling, and our paths for them."""
    last = 2 if config.get("bottleneck", 0) else 1
    common = [("bn_in", "net.norm_in"), ("bn_out", "norm")]
    if not int(config["residual_blocks"]):
        stack = "net.resnet.stack."
        return [
            *common,
            (r"resnet/h_(\d+)", stack + r"convs.\1"),
            (r"resnet/bn_(\d+)", stack + r"norms.\1"),
            ("resnet/out", f"{stack}convs.{last}"),
        ]
    block = r"net.resnet.blocks.\1."
    return [
        *common,
        ("resnet/h_in", "net.resnet.conv_in"),
        ("resnet/skip_in", "net.resnet.skips.0"),
        (r"resnet/skip_(\d+)", lambda m: f"net.resnet.skips.{int(m[1]) + 1}"),
        ("resnet/bn_pre_out", "net.resnet.norm_out"),
        ("resnet/out", "net.resnet.conv_out"),
        (r"resnet/block_(\d+)/bn_in", block + "norms.0"),
        (r"resnet/block_(\d+)/bn_(\d+)", lambda m: f"net.resnet.blocks.{m[1]}.norms.{int(m[2]) + 1}"),
        (r"resnet/block_(\d+)/h_(\d+)", block + r"convs.\2"),
        (r"resnet/block_(\d+)/out", f"{block}convs.{last}"),
    ]


def our_name(name: str, config: Mapping[str, Any]) -> str:
    """Our name of a published variable such as "model/scale_0/coupling_4/resnet/block_1/bn_0/mean"."""
    unknown = ValueError(f"not a variable of the published RealNVP with this config: {name!r}")
    match = VARIABLE.fullmatch(name)
    if match is None:
        raise unknown
    scale, coupling, rest = match.groups()
    # Squeeze and channel reordering take the places that the published numbering of couplings leaves free.
    prefix = f"transform.transforms.2.levels.{scale}.transforms.{coupling}."
    if rest in SCALARS:
        return prefix + SCALARS[rest]
    scope, _, leaf = rest.rpartition("/")
    for pattern, ours in _modules(config):
        if leaf in LEAVES and re.fullmatch(pattern, scope):
            return f"{prefix}{re.sub(pattern, ours, scope)}.{LEAVES[leaf]}"
    raise unknown


def convert(
    state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """`(class_path, init_args, state_dict)` of the `RealNVP` with these weights; see `flowsuite.images.reference`.

    Config keys are those of the published code: `size` (or [height, width]), `n_scale`, `base_dim`, `residual_blocks`;
    and where they are not the defaults `use_batch_norm`, `skip`, `bottleneck`, `use_aff`, `data_constraint`, `bn_lag`.
    Convolution weights come as HWIO.
    """
    missing = [key for key in ("size", "n_scale", "base_dim", "residual_blocks") if key not in config]
    if missing:
        raise ValueError(f"the config of a published RealNVP must give {', '.join(missing)}")
    lag, n_scales = float(config.get("bn_lag", 0.0)), int(config["n_scale"])
    weights = {}
    for name, value in state_dict.items():
        value, ours = torch.as_tensor(value), our_name(name, config)
        if lag or not ours.endswith(".step"):  # the step count only matters with a lag
            weights[ours] = value.permute(3, 2, 0, 1).contiguous() if value.ndim == 4 else value
    channels = _image_channels(weights)
    for i in range(n_scales - 1):
        weights[f"transform.transforms.2.levels.{i}.transforms.7.order"] = reorder_cells(channels * 2**i).order
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    init_args = {
        "image_shape": [channels, int(height), int(width)],
        "n_scales": n_scales,
        "base_dim": int(config["base_dim"]),
        "residual_blocks": int(config["residual_blocks"]),
        "batch_norm": bool(config.get("use_batch_norm", 1)),
        "skip": bool(config.get("skip", 1)),
        "bottleneck": bool(config.get("bottleneck", 0)),
        "coupling": "affine" if config.get("use_aff", 1) else "additive",
        "bn_lag": lag,
        "alpha": round((1 - float(config.get("data_constraint", 0.9))) / 2, 12),
    }
    return "flowsuite.images.RealNVP", init_args, weights


def _image_channels(weights: Mapping[str, Tensor]) -> int:
    """C, from the 2C + 1 planes that the first coupling's net sees."""
    prefix = "transform.transforms.2.levels.0.transforms.0.net.resnet."
    for name in ("conv_in.weight", "stack.convs.0.weight"):
        if prefix + name in weights:
            return (weights[prefix + name].shape[1] - 1) // 2
    raise ValueError("the weights hold no first convolution of scale_0/coupling_0")

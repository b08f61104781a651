"""Layers of the TensorFlow implementations of Glow and VideoFlow (kernels HWIO, channels last), as states of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

State = dict[str, Tensor]


def read_actnorm(weights: Mapping[str, Tensor], theirs: str, out: State, ours: str) -> None:
    """`ActNorm`, from `THEIRS_center/b` and `THEIRS_scale/logs`; without these, one that is not initialised yet."""
    if f"{theirs}_center/b" not in weights:
        return
    out[f"{ours}.shift"] = weights[f"{theirs}_center/b"].flatten()
    out[f"{ours}.scale"] = weights[f"{theirs}_scale/logs"].flatten()
    out[f"{ours}.initialized"] = torch.tensor(True)


def read_inverted_conv(weights: Mapping[str, Tensor], theirs: str, out: State, ours: str) -> None:
    """`InvertibleConv1x1LU`."""
    names = {"permutation": "P", "lower": "L", "upper": "U", "log_s": "log_S", "sign": "sign_S"}
    for name, theirs_name in names.items():
        out[f"{ours}.{name}"] = weights[f"{theirs}/{theirs_name}"]


def read_conv(weights: Mapping[str, Tensor], theirs: str, out: State, ours: str, actnorm: str = "actnorm") -> None:
    """`EdgeConv2d`; the indicator is the last input channel of kernels above 1x1. Without a bias, it has an actnorm."""
    weight = weights[f"{theirs}/W"].permute(3, 2, 0, 1).contiguous()
    if weight.shape[-1] > 1:
        out[f"{ours}.edge_weight"] = weight[:, -1:].contiguous()
        weight = weight[:, :-1].contiguous()
    out[f"{ours}.weight"] = weight
    if f"{theirs}/b" in weights:
        out[f"{ours}.bias"] = weights[f"{theirs}/b"].flatten()
        out[f"{ours}.log_scale"] = weights[f"{theirs}/logs"].flatten()
    else:
        read_actnorm(weights, f"{theirs}/{actnorm}", out, f"{ours}.actnorm")


def reorder_outputs(out: State, conv: str, reorder: Callable[[Tensor], Tensor]) -> None:
    """Reorders the output channels of a convolution."""
    for name in ("weight", "bias", "log_scale", "edge_weight"):
        if f"{conv}.{name}" in out:
            out[f"{conv}.{name}"] = reorder(out[f"{conv}.{name}"])


def deinterleave(rows: Tensor) -> Tensor:
    """Even entries, then odd ones: (shift, scale) pairs to all shifts before all scales."""
    return torch.cat((rows[0::2], rows[1::2]))

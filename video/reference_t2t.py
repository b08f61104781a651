"""Weights of tensor2tensor's `next_frame_glow` (VideoFlow, arXiv 1903.01434) for `VideoFlow`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.training.reference_tf import (
    State,
    deinterleave,
    read_actnorm,
    read_conv,
    read_inverted_conv,
    reorder_outputs,
)
from flowsuite.video.reference_check import (
    Weights,
    check_finite,
    check_names,
    check_stacks,
    check_state,
    check_told,
    flag,
    frame_size,
)
from flowsuite.video.window_net import dilations_for

VIDEOFLOW = "flowsuite.video.VideoFlow"
DILATIONS = (1, 2, 4)


def convert(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> tuple[str, dict[str, Any], State]:
    """A whole model with the temporal net `conv3d_net`, the prior of all published configurations.

    Raises:
        ValueError: the config contradicts the weights, or weights are missing, left over, of a wrong shape or not
            finite.
    """
    weights, out = by_scope(state_dict), {}
    top, given = "top/conv3d", config.get("config", config)
    init_args = flow_args(weights, config)
    init_args |= prior_args(weights, top, config)
    check_told(given, init_args)
    read_flow(weights, init_args, out)
    levels, sides = init_args["levels"], init_args["video_shape"][1:]
    for level in range(levels):
        last = level == levels - 1
        read_still(weights, "unconditional/top_learn_prior" if last else prior_scope(level, "level_prior"), out, level)
        net = top if last else prior_scope(level, "latent_stack")
        rates = dilations_for(tuple(side >> level + 1 for side in sides), init_args["dilated"])
        check_stacks(level, block_scopes(weights, net), rates, init_args["dilated"])
        read_window_net(weights, net, out, f"priors.{level}.net")
    check_state(init_args, out)
    weights.check_all_read()
    return VIDEOFLOW, init_args, out


def convert_uninitialized(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]):
    """The flow of frames before its data-dependent initialisation; temporal nets and the top's prior are as new."""
    from flowsuite.video.videoflow import VideoFlow

    weights, out = by_scope(state_dict), {}
    init_args = flow_args(weights, config)
    check_told(config.get("config", config), init_args)
    init_args |= {"past": 1, "prior_blocks": 1, "prior_width": 1, "dilated": False, "log_std_bound": None}
    read_flow(weights, init_args, out)
    for level in range(init_args["levels"] - 1):
        read_still(weights, prior_scope(level, "level_prior"), out, level)
    fresh = VideoFlow(**init_args).state_dict()
    dtype = next(iter(out.values())).dtype
    rest = {k: v.to(dtype) if v.is_floating_point() else v for k, v in fresh.items() if k not in out}
    return VIDEOFLOW, init_args, {**rest, **out}


def by_scope(state_dict: Mapping[str, Tensor]) -> Weights:
    """The weights by name, without what stands before and in "body/"."""
    check_finite(state_dict)
    return Weights({re.sub(r"^.*?\bbody/", "", name): torch.as_tensor(w) for name, w in state_dict.items()})


def numbers(weights: Mapping[str, Tensor], pattern: str) -> int:
    """How many there are of what `pattern` numbers from 0."""
    found = [int(match.group(1)) for name in weights if (match := re.search(pattern, name))]
    if not found:
        raise ValueError(f"these are not the weights of that VideoFlow: no name matches {pattern!r}")
    return 1 + max(found)


def prior_scope(level: int, name: str) -> str:
    return f"codec/split_{level}/prior_on_z2/{name}"


def coupling_of(weights: Mapping[str, Tensor], step: str) -> str:
    return "affine" if f"{step}/affine/nn/zeros/W" in weights else "additive"


def flow_args(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the flow of frames decides on."""
    given = config.get("config", config)
    check_names(given)
    height, width = frame_size(given)
    step = "codec/revnet_0/revnet_step_0"
    coupling = coupling_of(weights, step)
    net = f"{step}/{coupling}/nn/conv_block"
    return {
        "video_shape": [weights[f"{step}/invertible/log_S"].numel() // 4, height, width],
        "levels": numbers(weights, r"^codec/revnet_(\d+)/"),
        "steps": numbers(weights, r"^codec/revnet_0/revnet_step_(\d+)/"),
        "width": weights[f"{net}/1_1/W"].shape[-1],
        "coupling": coupling,
        "activation": "gatu" if f"{net}/1_tanh/W" in weights else "relu",
        "prior": "window",
    }


def prior_args(weights: Mapping[str, Tensor], net: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the temporal net of the top level, and the config, decide on."""
    given = config.get("config", config)
    blocks = block_scopes(weights, net)
    first = blocks[0][0]
    dilated = any("/dil_" in name and name.endswith("dil_1/zeros/W") for name in weights)
    return {
        "past": numbers(weights, rf"^{re.escape(first)}/conv_block/1_1/actnorm/actnorm_(\d+)/"),
        "prior_blocks": len(blocks),
        "prior_width": weights[f"{first}/conv_block/1_1/W"].shape[-1],
        "prior_activation": "gatu" if f"{first}/conv_block/1_tanh/W" in weights else "relu",
        "dilated": flag(given, "dilations", dilated),
        "skip": flag(given, "skip", True),
        "log_std_bound": None,
    }


def read_flow(weights: Mapping[str, Tensor], init_args: Mapping[str, Any], out: State) -> None:
    for level in range(init_args["levels"]):
        for i in range(init_args["steps"]):
            step = f"codec/revnet_{level}/revnet_step_{i}"
            ours = f"transform.levels.{level}.transforms.1.transforms.{i}.transforms"
            read_actnorm(weights, f"{step}/actnorm/actnorm", out, f"{ours}.0")
            read_inverted_conv(weights, f"{step}/invertible", out, f"{ours}.1")
            coupling = coupling_of(weights, step)
            read_coupling_net(weights, f"{step}/{coupling}/nn", out, f"{ours}.2.net", coupling == "affine")


def read_coupling_net(weights: Mapping[str, Tensor], theirs: str, out: State, ours: str, affine: bool) -> None:
    """`GlowNet`; the two gates of a GATU are one convolution of ours."""
    read_conv(weights, f"{theirs}/conv_block/1_1", out, f"{ours}.layers.0", "actnorm/actnorm")
    if f"{theirs}/conv_block/1_tanh/W" in weights:
        halves: list[State] = []
        for gate in ("1_tanh", "1_sigm"):
            halves.append({})
            read_conv(weights, f"{theirs}/conv_block/{gate}", halves[-1], "half", "actnorm/actnorm")
        join_halves(halves, out, f"{ours}.layers.1")
    else:
        read_conv(weights, f"{theirs}/conv_block/1_2", out, f"{ours}.layers.1", "actnorm/actnorm")
    read_conv(weights, f"{theirs}/zeros", out, f"{ours}.layers.2")
    if affine:
        reorder_outputs(out, f"{ours}.layers.2", deinterleave)


def join_halves(halves: list[State], out: State, ours: str) -> None:
    """States under the name "half", their values one after the other."""
    for name in halves[0]:
        values = [half[name] for half in halves]
        out[f"{ours}{name.removeprefix('half')}"] = torch.cat(values) if values[0].ndim else values[0]


def read_still(weights: Mapping[str, Tensor], theirs: str, out: State, level: int) -> None:
    """The prior without past: of one convolution, even outputs are the mean, odd ones log sigma."""
    whole: State = {}
    read_conv(weights, f"{theirs}/conv2d", whole, "whole")
    for name, value in whole.items():
        for ours, start in (("mean", 0), ("log_std", 1)):
            out[f"priors.{level}.{ours}{name.removeprefix('whole')}"] = value[start::2].contiguous()


def block_scopes(weights: Mapping[str, Tensor], net: str) -> list[list[str]]:
    """The scopes of the parallel stacks of every block of a temporal net."""
    pattern = rf"^{re.escape(net)}/(?:dil_)?latent_3d_res_(\d+)/"
    scopes = []
    for i in range(numbers(weights, pattern)):
        plain, dilated = f"{net}/latent_3d_res_{i}", f"{net}/dil_latent_3d_res_{i}"
        if f"{plain}/zeros/W" in weights:
            scopes.append([plain])
        else:
            count = numbers(weights, rf"^{re.escape(dilated)}/dil_(\d+)/")
            scopes.append([f"{dilated}/dil_{j}" for j in range(count)])
    return scopes


def read_window_net(weights: Mapping[str, Tensor], theirs: str, out: State, ours: str) -> None:
    """`WindowNet`; its last convolution gives mean and log sigma in turn."""
    for i, scopes in enumerate(block_scopes(weights, theirs)):
        for j, scope in enumerate(scopes):
            read_window_stack(weights, scope, out, f"{ours}.blocks.{i}.{j}")
    read_conv(weights, f"{theirs}/res_final", out, f"{ours}.last")
    reorder_outputs(out, f"{ours}.last", deinterleave)


def read_window_stack(weights: Mapping[str, Tensor], theirs: str, out: State, ours: str) -> None:
    """`WindowStack`: kernels are (time, H, W, in, out) with the indicator as first input channel."""
    kernel = weights[f"{theirs}/conv_block/1_1/W"].permute(4, 0, 3, 1, 2)
    out[f"{ours}.edge_in"], out[f"{ours}.weight_in"] = kernel[:, :, :1].contiguous(), kernel[:, :, 1:].contiguous()
    gates = ("1_tanh", "1_sigm") if f"{theirs}/conv_block/1_tanh/W" in weights else ("1_2",)
    middle = [weights[f"{theirs}/conv_block/{gate}/W"][0].permute(3, 2, 0, 1) for gate in gates]
    out[f"{ours}.weight_middle"] = torch.cat(middle)
    read_slot_norms(weights, [f"{theirs}/conv_block/1_1"], out, f"{ours}.norm_in")
    read_slot_norms(weights, [f"{theirs}/conv_block/{gate}" for gate in gates], out, f"{ours}.norm_middle")
    kernel = weights[f"{theirs}/zeros/W"].permute(0, 4, 3, 1, 2)
    out[f"{ours}.edge_out"], out[f"{ours}.weight_out"] = kernel[:, :, :1].contiguous(), kernel[:, :, 1:].contiguous()
    out[f"{ours}.bias"] = weights[f"{theirs}/zeros/b"].flatten()
    out[f"{ours}.log_scale"] = weights[f"{theirs}/zeros/logs"].flatten()


def read_slot_norms(weights: Mapping[str, Tensor], convs: list[str], out: State, ours: str) -> None:
    """The actnorms of all time slots; those of several convolutions joined."""
    for k in range(numbers(weights, rf"^{re.escape(convs[0])}/actnorm/actnorm_(\d+)/")):
        parts: list[State] = [{} for _ in convs]
        for part, conv in zip(parts, convs, strict=True):
            read_actnorm(weights, f"{conv}/actnorm/actnorm_{k}/actnorm_{k}", part, "half")
        join_halves(parts, out, f"{ours}.{k}")

"""WaveFlow of L0SG/WaveFlow, as a flowsuite model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from flowsuite.audio.reference_weights import NormedWeights, as_normed, check_config, rows_of, section, stack
from flowsuite.audio.waveflow import flow_permutations


def convert(
    state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """`(class_path, init_args, state_dict)`; sizes are read off the weights.

    `config` is a config file of the repository, or what the weights do not tell from its `waveflow_config`: `n_height`;
    `coupling_type` ("waveflow_bipartize" or "waveflow") or `bipartize`; `n_layer_per_cycle` or the constructor's name
    of it, `layers_per_dilation_h_cycle`, or all `dilation_h` themselves.
    """
    config = section(config, "waveflow_config")
    weights = NormedWeights(state_dict)
    net = "flows.{}.coupling.net."
    n_flows = _count(weights, net + "front_conv.0.conv")
    n_layers = _count(weights, net.format(0) + "res_blocks.{}.filter_gate_conv.conv")
    factors = [
        weights.normed(f"upsample_conv.{2 * i}")[1].shape[3] // 2 for i in range(_count(weights, "upsample_conv.{}", 2))
    ]
    if not n_flows or not n_layers or not factors:
        raise ValueError("expected the weights flows.*.coupling.net.* and upsample_conv.* of an L0SG WaveFlow")
    if "n_height" not in config:
        raise ValueError('expected config["n_height"], the height of the squeezed waveform')
    converted: dict[str, Tensor] = {}
    for i in range(len(factors)):
        converted |= as_normed(f"upsample.stages.{i}", weights.normed(f"upsample_conv.{2 * i}"))
    for k in range(n_flows):
        converted |= _convert_net(weights, net.format(k), f"transform.transforms.{2 * k}.net.", n_layers)
        for part in ("weight", "bias"):
            theirs = weights.take(f"flows.{k}.coupling.proj_log_s_t.conv.{part}")
            converted[f"transform.transforms.{2 * k}.net.out.{part}"] = theirs
    weights.check_all_used("L0SG WaveFlow")
    height, permutation = int(config["n_height"]), _permutation(config)
    for k, order in enumerate(flow_permutations(height, n_flows, permutation)):
        converted[f"transform.transforms.{2 * k + 1}.order"] = order
    cycle = int(config.get("n_layer_per_cycle", config.get("layers_per_dilation_h_cycle", 1)))
    condition = converted["transform.transforms.0.net.condition.weight"]
    init_args = {
        "height": height,
        "channels": len(converted["transform.transforms.0.net.front.bias"]),
        "n_flows": n_flows,
        "n_layers": n_layers,
        "n_mels": condition.shape[1],
        "hop_length": math.prod(factors),
        "factors": factors,
        "permutation": permutation,
        "dilations": [int(d) for d in config.get("dilation_h", [2 ** (i % cycle) for i in range(n_layers)])],
    }
    check_config(config, {f"res_channel{s}": init_args["channels"] for s in ("", "s")})  # constructor's, file's name
    check_config(config, {f"cin_channel{s}": init_args["n_mels"] for s in ("", "s")})
    return "flowsuite.audio.waveflow.WaveFlow", init_args, converted


def _permutation(config: Mapping[str, Any]) -> str:
    coupling = config.get("coupling_type")
    if coupling is None:
        return "bipartite" if str(config.get("bipartize", False)).lower() == "true" else "reverse"
    kinds = {"waveflow_bipartize": "bipartite", "waveflow": "reverse"}
    if coupling not in kinds:
        raise ValueError(f"expected coupling_type {' or '.join(kinds)}, got {coupling!r}")
    return kinds[coupling]


def _convert_net(weights: NormedWeights, theirs: str, ours: str, n_layers: int) -> dict[str, Tensor]:
    """Theirs joins residual and skip in one layer and has one conditioner per layer, or, once made ready for synthesis,
    one for all (`fused_filter_gate_conv_c`); the last residual is unused."""
    front = weights.normed(f"{theirs}front_conv.0.conv")
    channels = len(front[2])
    converted = as_normed(f"{ours}front", front)
    conditions = []
    for layer in range(n_layers):
        block = f"{theirs}res_blocks.{layer}."
        converted |= as_normed(f"{ours}convs.{layer}", weights.normed(f"{block}filter_gate_conv.conv"))
        if f"{block}filter_gate_conv_c" in weights:
            conditions.append(weights.normed(f"{block}filter_gate_conv_c"))
        both = weights.normed(f"{block}res_skip_conv")
        converted |= as_normed(f"{ours}skips.{layer}", rows_of(both, slice(channels, None)))
        if layer + 1 < n_layers:
            converted |= as_normed(f"{ours}residuals.{layer}", rows_of(both, slice(channels)))
    condition = stack(conditions) if conditions else weights.normed(f"{theirs}fused_filter_gate_conv_c")
    return converted | as_normed(f"{ours}condition", condition)


def _count(weights: NormedWeights, pattern: str, step: int = 1) -> int:
    """How many layers of that name, numbered 0, `step`, ..., there are."""
    n = 0
    while pattern.format(n * step) in weights:
        n += 1
    return n

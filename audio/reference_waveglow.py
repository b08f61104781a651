"""WaveGlow of NVIDIA/waveglow, as a flowsuite model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from flowsuite.audio.reference_weights import NormedWeights, as_normed, rows_of, section, stack


def convert(
    state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """`(class_path, init_args, state_dict)`; all sizes but the upsampler's stride are read off the weights.

    `config` is a config file of the repository, or its `waveglow_config`; it may add `upsample_stride`, which is
    `data_config["hop_length"]` or 256 otherwise.
    """
    hop_length = section(config, "data_config").get("hop_length", 256)
    config = section(config, "waveglow_config")
    weights = NormedWeights(state_dict)
    matrices = []
    while f"convinv.{len(matrices)}.conv.weight" in weights.weights:
        matrices.append(weights.take(f"convinv.{len(matrices)}.conv.weight").squeeze(-1))
    if not matrices:
        raise ValueError("expected the weights convinv.*.conv.weight and WN.*.* of an NVIDIA WaveGlow")
    if "WN.0.skip_layers.0" in weights:
        raise ValueError(
            "these are weights of NVIDIA WaveGlow's first version (glow_old.py: WN.*.skip_layers), whose couplings "
            "swap halves: expected those of glow.py, with WN.*.res_skip_layers"
        )
    n_layers = 0
    while f"WN.0.in_layers.{n_layers}" in weights:
        n_layers += 1
    converted = {f"upsample.conv.{part}": weights.take(f"upsample.{part}") for part in ("weight", "bias")}
    for k, matrix in enumerate(matrices):
        converted[f"transform.transforms.{k}.mix.weight"] = matrix
        ours = f"transform.transforms.{k}.coupling.net."
        converted |= _convert_net(weights, f"WN.{k}.", ours, n_layers)
    weights.check_all_used("NVIDIA WaveGlow")
    n_mels, _, kernel = converted["upsample.conv.weight"].shape
    early_every, early_size = _early(matrices, config)
    init_args = {
        "height": len(matrices[0]),
        "channels": len(converted["transform.transforms.0.coupling.net.start.bias"]),
        "n_flows": len(matrices),
        "n_layers": n_layers,
        "n_mels": n_mels,
        "hop_length": int(config.get("upsample_stride", hop_length)),
        "upsample_kernel": kernel,
        "early_every": early_every,
        "early_size": early_size,
        "kernel_size": converted["transform.transforms.0.coupling.net.convs.0.weight"].shape[2],
    }
    return "flowsuite.audio.waveglow.WaveGlow", init_args, converted


def _early(matrices: list[Tensor], config: Mapping[str, Any]) -> tuple[int, int]:
    """(after how many flows, how many rows) leave, from the sizes of the matrices."""
    sizes = [len(matrix) for matrix in matrices]
    every = next((k for k, size in enumerate(sizes) if size < sizes[0]), None)
    if every is None:
        return max(len(sizes), int(config.get("n_early_every", 4))), int(config.get("n_early_size", 2))
    return every, sizes[0] - sizes[every]


def _convert_net(weights: NormedWeights, theirs: str, ours: str, n_layers: int) -> dict[str, Tensor]:
    converted = as_normed(f"{ours}start", weights.normed(f"{theirs}start"))
    channels = len(converted[f"{ours}start.bias"])
    conditions = []
    for layer in range(n_layers):
        converted |= as_normed(f"{ours}convs.{layer}", weights.normed(f"{theirs}in_layers.{layer}"))
        both = weights.normed(f"{theirs}res_skip_layers.{layer}")
        if f"{theirs}cond_layers.{layer}" in weights:  # before March 2019 every layer had its own
            conditions.append(weights.normed(f"{theirs}cond_layers.{layer}"))
        last = layer + 1 == n_layers
        converted |= as_normed(f"{ours}skips.{layer}", both if last else rows_of(both, slice(channels, None)))
        if not last:
            converted |= as_normed(f"{ours}residuals.{layer}", rows_of(both, slice(channels)))
    condition = stack(conditions) if conditions else weights.normed(f"{theirs}cond_layer")
    converted |= as_normed(f"{ours}condition", condition)
    return converted | {f"{ours}out.{part}": weights.take(f"{theirs}end.{part}") for part in ("weight", "bias")}

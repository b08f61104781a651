"""The image models of rtqichen/ffjord (@994864a) for `ImageFFJORD`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from flowsuite.core.reference_fields import convert_chain, field_settings, hidden_sizes, plain_weights

SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32), "svhn": (3, 32, 32), "lsun_church": (3, 64, 64)}


def convert(
    state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """Multi-scale (`transforms.<scale>.chain.<i>`) and single-scale (`chain.<i>`) models.

    `config` holds the command-line flags of the public code, at the top or under "config", or `shape` (C, H, W) where
    `data` and `imagesize` don't tell it. Sizes are read off the weights. The logit counts as the first element.
    """
    flags = config.get("config", config)
    weights = plain_weights(state_dict)
    layer, hidden = str(flags.get("layer_type", "concat")), hidden_sizes(flags)
    scales = sorted({int(m.group(1)) for name in weights if (m := re.match(r"transforms\.(\d+)\.", name))})
    strides = parse_strides(flags) if not scales else None
    chains = []
    for scale in scales or [0]:
        theirs, ours = f"transforms.{scale}." if scales else "", f"transform.transforms.2.levels.{scale}.transforms."
        steps = strides or [1] * field_depth(weights, theirs)
        chains.append(convert_chain(weights, theirs, ours, layer, hidden, steps, skip=int(scale == 0)))
    init_args = {
        "image_shape": image_shape(flags),
        "strides": strides,
        "num_blocks": chains[-1].blocks,
        "n_scales": len(chains),
        "alpha": float(flags.get("alpha", 1e-6)),
        **field_settings(flags, chains[-1], layer, rademacher=True),
    }
    init_args["eval_divergence"] = init_args["divergence"]
    return "flowsuite.images.ImageFFJORD", init_args, {k: v for chain in chains for k, v in chain.weights.items()}


def parse_strides(flags: Mapping[str, Any]) -> list[int] | None:
    given = flags.get("strides")
    return [int(n) for n in given.split(",")] if isinstance(given, str) else given


def field_depth(weights: Mapping[str, Tensor], theirs: str) -> int:
    """Layers of a field."""
    pattern = re.compile(re.escape(theirs) + r"chain\.\d+\..*?(coder_)?layers\.(\d+)\.")
    found = {(m.group(1), m.group(2), "decoder" in name) for name in weights if (m := pattern.match(name))}
    return len(found)


def image_shape(flags: Mapping[str, Any]) -> tuple[int, int, int]:
    if "shape" in flags:
        return tuple(int(n) for n in flags["shape"])
    if flags.get("data") not in SHAPES:
        raise ValueError(f"config must give shape (C, H, W), or data as one of {', '.join(SHAPES)}")
    channels, *size = SHAPES[flags["data"]]
    return (channels, *([int(flags["imagesize"])] * 2 if flags.get("imagesize") else size))

"""Weights of the official VideoFlow (tensor2tensor), turned into flowsuite models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from flowsuite.core.training.reference import build_with, convert_with

# Each converter: (state_dict, config) -> (class path of the flow, its init_args, its state_dict).
CONVERTERS = {
    "t2t-videoflow": "flowsuite.video.reference_t2t:convert",
    "t2t-actnorm-init": "flowsuite.video.reference_t2t:convert_uninitialized",
    "t2t-videoflow-pieces": "flowsuite.video.reference_pieces:convert",
}


def convert_reference(
    kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """`(class_path, init_args, state_dict)` of the flow that equals a public implementation's model."""
    return convert_with(CONVERTERS, kind, state_dict, config)


def from_reference(kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> nn.Module:
    """The flowsuite model with the weights of a public implementation.

    Args:
        kind: "t2t-videoflow", a whole model; "t2t-actnorm-init", the flow of its frames before the data-dependent
            initialisation; or "t2t-videoflow-pieces", single operations by their labels.
        state_dict: its weights by their original names (NumPy arrays or tensors).
        config: its hyper-parameters; what the weights do not tell is `size` (of a frame: one number, or height and
            width), `skip` and `dilations`.

    Raises:
        ValueError: the config contradicts the weights or has names that mean nothing; or weights are missing, left
            over, of a wrong shape or not finite.
    """
    return build_with(CONVERTERS, kind, state_dict, config)


def module_args(config: Mapping[str, Any], init_args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the `VideoModule` besides the flow: the scaling and the context of the reference."""
    if "past" not in init_args:
        raise ValueError("single operations are not a model to import: the kind of a whole one is t2t-videoflow")
    given = config.get("config", config)
    context = int(given.get("in_frames", init_args["past"]))
    return {"reference": True, "context_frames": context, "num_frames": context + int(given.get("target_frames", 10))}

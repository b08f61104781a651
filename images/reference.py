"""Weights of public implementations, turned into flowsuite models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from flowsuite.core.flow import Flow
from flowsuite.core.training.reference import build_with, convert_with

# Each converter: (state_dict, config) -> (class path of the flow, its init_args, its state_dict).
CONVERTERS = {
    "rosinality-glow": "flowsuite.images.reference_glow:convert_port",
    "openai-glow": "flowsuite.images.reference_glow:convert_official",
    "ffjord-image": "flowsuite.images.reference_ffjord:convert",
    "realnvp": "flowsuite.images.reference_realnvp:convert",
    "maf": "flowsuite.images.reference_maf:convert_maf",
    "rq-spline": "flowsuite.images.reference_maf:convert_spline",
}


def convert_reference(
    kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """`(class_path, init_args, state_dict)` of the flow that equals a public implementation's model."""
    return convert_with(CONVERTERS, kind, state_dict, config)


def from_reference(kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Flow:
    """The flowsuite model with the weights of a public implementation.

    Args:
        kind: the implementation, one of `CONVERTERS`.
        state_dict: its weights by their original names (NumPy arrays or tensors).
        config: its hyper-parameters by their original names.
    """
    return build_with(CONVERTERS, kind, state_dict, config)

"""Weights of public implementations of flows for vectors, turned into flowsuite models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from flowsuite.core.flow import Flow
from flowsuite.core.training.reference import build_with, convert_with

# Each converter: (state_dict, config) -> (class path of the flow, its init_args, its state_dict).
CONVERTERS = {
    "ffjord": "flowsuite.core.reference_ffjord:convert_ffjord",
    "ffjord-vae": "flowsuite.core.reference_ffjord:convert_vae",
    "planar": "flowsuite.core.reference_variational:convert_planar",
    "radial": "flowsuite.core.reference_variational:convert_radial",
    "sylvester": "flowsuite.core.reference_variational:convert_iaf",
    "zuko-cnf": "flowsuite.core.reference_ffjord:convert_zuko",
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

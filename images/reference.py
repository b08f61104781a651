"""Weights of public implementations, turned into flowsuite models."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from flowsuite.core.flow import Flow

# Each converter: (state_dict, config) -> (class path of the flow, its init_args, its state_dict).
CONVERTERS = {
    "rosinality-glow": "flowsuite.images.reference_glow:convert_port",
    "openai-glow": "flowsuite.images.reference_glow:convert_official",
    "realnvp": "flowsuite.images.reference_realnvp:convert",
    "maf": "flowsuite.images.reference_maf:convert_maf",
    "rq-spline": "flowsuite.images.reference_maf:convert_spline",
}


def convert_reference(
    kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """`(class_path, init_args, state_dict)` of the flow that equals a public implementation's model."""
    if kind not in CONVERTERS:
        close = difflib.get_close_matches(kind, CONVERTERS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown reference kind {kind!r}: expected one of {', '.join(CONVERTERS)}{hint}")
    module, function = CONVERTERS[kind].split(":")
    return getattr(importlib.import_module(module), function)(state_dict, config)


def from_reference(kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Flow:
    """The flowsuite model with the weights of a public implementation.

    Args:
        kind: the implementation, one of `CONVERTERS`.
        state_dict: its weights by their original names (NumPy arrays or tensors).
        config: its hyper-parameters by their original names.
    """
    class_path, init_args, weights = convert_reference(kind, state_dict, config)
    module, name = class_path.rsplit(".", 1)
    flow = getattr(importlib.import_module(module), name)(**init_args)
    dtype = next((w.dtype for w in weights.values() if w.is_floating_point()), None)
    flow = flow.to(dtype) if dtype is not None else flow
    flow.load_state_dict(weights)
    return flow.eval()

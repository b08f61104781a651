"""Weights of public implementations, turned into flowsuite models: what every domain's `reference` module shares."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def convert_with(
    converters: Mapping[str, str], kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """`(class_path, init_args, state_dict)` of the flow that equals a public implementation's model.

    `converters` gives for every kind the path "module:function" of a function from (state_dict, config) to that.
    """
    if kind not in converters:
        close = difflib.get_close_matches(kind, converters, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown reference kind {kind!r}: expected one of {', '.join(converters)}{hint}")
    module, function = converters[kind].split(":")
    return getattr(importlib.import_module(module), function)(state_dict, config)


def build_with(
    converters: Mapping[str, str], kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> nn.Module:
    """The flow itself, in evaluation mode and in the precision of the weights."""
    from flowsuite.core.training.checkpoint import build_value

    class_path, init_args, weights = convert_with(converters, kind, state_dict, config)
    module, name = class_path.rsplit(".", 1)
    flow = getattr(importlib.import_module(module), name)(**{k: build_value(v, ()) for k, v in init_args.items()})
    dtype = next((w.dtype for w in weights.values() if w.is_floating_point()), None)
    flow = flow.to(dtype) if dtype is not None else flow
    flow.load_state_dict(weights)
    return flow.eval()

"""Weights of public implementations, turned into flowsuite models: what every domain's `reference` module shares."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flowsuite.core.training.files import reason
from flowsuite.core.training.tracing import Traced, in_words, traced

Converted = tuple[str, dict[str, Any], dict[str, Tensor]]  # class path of the flow, its init_args, its state_dict
Converter = Callable[[Mapping[str, Tensor], Mapping[str, Any]], Converted]


def convert_with(
    converters: Mapping[str, str], kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> Converted:
    """`(class_path, init_args, state_dict)` of the flow that equals a public implementation's model.

    `converters` gives for every kind the path "module:function" of a function from (state_dict, config) to that.

    Raises:
        ValueError: the kind is unknown, or weights or config are not of that kind: what is missing, left over or of
            another type or shape, by the name that it was given under.
    """
    return _convert_and_build(converters, kind, state_dict, config)[0]


def build_with(
    converters: Mapping[str, str], kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> nn.Module:
    """The flow itself, in evaluation mode and in the precision of the weights; errors as of `convert_with`."""
    (_, _, weights), flow = _convert_and_build(converters, kind, state_dict, config)
    dtype = next((w.dtype for w in weights.values() if w.is_floating_point()), None)
    flow = flow.to(dtype) if dtype is not None else flow
    flow.load_state_dict(weights)
    return flow.eval()


def _convert_and_build(
    converters: Mapping[str, str], kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[Converted, nn.Module]:
    from flowsuite.core.training.checkpoint import build_value

    if kind not in converters:
        close = difflib.get_close_matches(kind, converters, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown reference kind {kind!r}: expected one of {', '.join(converters)}{hint}")
    module, function = converters[kind].split(":")
    convert = getattr(importlib.import_module(module), function)
    check_tensors(state_dict)
    converted = _convert(convert, kind, state_dict, config)
    class_path, init_args, weights = converted
    if not weights:
        raise ValueError(f"not of kind {kind}: there are no weights")
    module, name = class_path.rsplit(".", 1)
    flow = getattr(importlib.import_module(module), name)(**{k: build_value(v, ()) for k, v in init_args.items()})
    wrong = unfit_weight(weights, flow)
    if wrong:
        sources = _sources(convert, state_dict, config, wrong[0])
        origin = f"{in_words(sources, state_dict)}: " if sources else ""
        raise ValueError(f"not of kind {kind}: {origin}{wrong[1]} for {wrong[0]} of our {name}")
    return converted, flow


def check_tensors(state_dict: Mapping[str, Any]) -> None:
    """Raises a ValueError unless these are tensors, or arrays of numbers, by name."""
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"expected a state_dict with tensors by name, got a {type(state_dict).__name__}")
    for name, weight in state_dict.items():
        number = isinstance(weight, np.ndarray) and weight.dtype.kind in "biuf"
        dense = isinstance(weight, Tensor) and weight.layout == torch.strided and not weight.is_quantized
        if not isinstance(name, str) or not (number or dense):
            raise ValueError(f"weight {name!r} is a {type(weight).__name__}: expected a dense tensor by its name")
        if dense and weight.is_complex():
            raise ValueError(f"weight {name!r} is of type {weight.dtype}: expected real numbers")


def unfit_weight(weights: Mapping[str, Tensor], module: nn.Module) -> tuple[str, str] | None:
    """`(name, what is wrong)` of the first weight that is not as the module's own; None if all fit."""
    expected = module.state_dict()
    for name, own in expected.items():
        if name not in weights:
            return name, "no weight is there"
        given = weights[name]
        if given.shape != own.shape:
            return name, f"expected shape {tuple(own.shape)}, got {tuple(given.shape)},"
        if given.is_floating_point() != own.is_floating_point():
            return name, f"expected {own.dtype}, got {given.dtype},"
    left = next((name for name in weights if name not in expected), None)
    return left and (left, "there is no place")


def _convert(convert: Converter, kind: str, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> Converted:
    try:
        return convert(weights, config)
    except KeyError as error:
        raise ValueError(f"not of kind {kind}: the weights or the config have no {error}") from None
    except ValueError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except (ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError) as error:
        Traced.touched = ()
        _sources(convert, weights, config)
        blamed = f"{in_words(Traced.touched, weights)}: " if Traced.touched else ""
        raise ValueError(f"not of kind {kind}: {blamed}{reason(error)}") from error


def _sources(
    convert: Converter, weights: Mapping[str, Tensor], config: Mapping[str, Any], name: str = ""
) -> tuple[str, ...]:
    """The given weights that our weight `name` is computed from, as far as can be told."""
    try:
        return getattr(convert(traced(weights), config)[2].get(name), "sources", ())
    except Exception:  # it failed before, or fails on tensors that are traced: then nobody is to blame
        return ()

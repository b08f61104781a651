"""Which of the given weights a converter computed something from, or failed on: told only once it has failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


class Traced(Tensor):
    """A tensor that knows the names of the weights it was computed from."""

    sources: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()  # of the class: the weights of the operation that came last

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        sources = tuple(dict.fromkeys(name for tensor in traced_in(args) for name in tensor.sources))
        Traced.touched = sources or Traced.touched
        result = super().__torch_function__(func, types, args, kwargs or {})
        for tensor in traced_in(result):
            tensor.sources = sources
        return result


def traced_in(value: Any) -> Iterator[Traced]:
    if isinstance(value, Traced):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from traced_in(item)


def traced(weights: Mapping[str, Any]) -> dict[str, Traced]:
    """The weights with their names in them."""
    Traced.touched = ()
    found = {}
    for name, weight in weights.items():
        found[name] = torch.as_tensor(weight).detach().as_subclass(Traced)
        found[name].sources = (name,)
    return found


def in_words(names: tuple[str, ...], weights: Mapping[str, Any]) -> str:
    """Some weights with their shapes, the first few of them."""
    shown = [f"{name} {tuple(weights[name].shape)}" for name in names[:3]]
    return ", ".join(shown) + (", ..." if len(names) > 3 else "")

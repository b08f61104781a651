"""Values derived from parameters, kept until a parameter changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class ParameterCache:
    """Remembers what `compute()` returned for as long as `parameters` stay as they were.

    Used only where autograd is off: with gradients on, under `torch.compile`, inside `torch.func` transforms and for
    parameters made in inference mode the value is computed afresh. A change is noticed through tensor identity,
    version counter, storage, dtype and device, which covers optimiser steps, `load_state_dict`, `.to(...)` and in-place
    edits under `no_grad`. Writing through `parameter.data` in place escapes it, as it escapes autograd: call `clear()`
    after that.
    """

    def __init__(self):
        self._values = {}

    def get(self, name: str, parameters: Iterable[Tensor], compute: Callable):
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return compute()
        parameters = tuple(parameters)
        if any(p.is_inference() or torch._C._functorch.is_functorch_wrapped_tensor(p) for p in parameters):
            return compute()
        key = tuple((p._version, p.data_ptr(), p.dtype, p.device) for p in parameters)
        hit = self._values.get(name)
        if hit is not None and hit[1] == key and all(a is b for a, b in zip(hit[0], parameters, strict=True)):
            return hit[2]
        value = compute()
        self._values[name] = (parameters, key, value)
        return value

    def clear(self) -> None:
        self._values.clear()

    def __deepcopy__(self, memo):
        return ParameterCache()

    def __reduce__(self):
        return (ParameterCache, ())

"""Contexts of conditional flows, from a file: what `flowsuite sample --context` takes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from flowsuite.core.training.module import FlowModule


def read_context(path: str | Path) -> Tensor:
    """Finite numbers (rows, C), float64: a `.npy`, or of a `.npz` the array `context`, else its only one."""
    from flowsuite.core.data.numbers import check_table
    from flowsuite.core.data.tabular import load_array
    from flowsuite.core.training.numpy_files import load_npz

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no context at {path}")
    if path.suffix == ".npy":
        return torch.from_numpy(load_array(path))
    if path.suffix != ".npz":
        raise ValueError(f"{path}: a context is a .npy or .npz file")
    arrays = load_npz(path)
    name = "context" if "context" in arrays or len(arrays) != 1 else next(iter(arrays))
    if name not in arrays:
        raise ValueError(f"{path}: expected an array 'context', or one array, got {', '.join(arrays) or 'none'}")
    return torch.from_numpy(check_table(arrays[name], f"{path}: {name}")).double()


def context_for(module: FlowModule, path: str | None) -> Tensor | None:
    """The context in a file as the module takes it, or None for a model without one.

    Raises:
        ValueError: the model takes no context, or needs one, or rows of another size.
    """
    size = getattr(module.flow, "context_features", 0)
    if path is None:
        if size and not module.context_by_option:
            raise ValueError(f"this model is conditional on {size} numbers a sample: give --context FILE of such rows")
        return None
    if not size:
        classes = getattr(module.flow, "n_classes", 0)
        raise ValueError(f"--context: this model takes {'a --class' if classes else 'no context'}")
    context = read_context(path)
    if context.shape[1] != size:
        raise ValueError(f"{path}: expected rows of {size} numbers, got {context.shape[1]}")
    return context.to(next(module.parameters()))


def rows_in_turn(context: Tensor, first: int, n: int) -> Tensor:
    """The rows of samples `first` to `first + n - 1`: all of them in turn."""
    return context[torch.arange(first, first + n, device=context.device) % len(context)]

"""How a synthesis is computed: the precision of the networks, CUDA graphs, `torch.compile`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

PRECISIONS = {"32": None, "bf16": torch.bfloat16}  # None: that of the weights


class Execution(NamedTuple):
    """What a synthesis may use; the waveform is the same up to rounding.

    Attributes:
        dtype: of the networks' weights and activations, such as bfloat16; None: that of the weights, or of an autocast
            that is on. The waveform, the affine maps and the sums over layers stay in float32 or better.
        graphs: on a GPU, capture WaveFlow's row steps in CUDA graphs, one for each of a few widths.
        compiled: `torch.compile` the layers of WaveFlow, for each of these widths.
    """

    dtype: torch.dtype | None = None
    graphs: bool = True
    compiled: bool = False

    def networks(self, like: Tensor) -> AbstractContextManager:
        """A context in which networks on the device of `like` compute in `dtype`."""
        return nullcontext() if self.dtype is None else torch.autocast(like.device.type, self.dtype)


DEFAULT = Execution()
ONCE = Execution(graphs=False)  # where a graph would not be used again


def execution(precision: str = "32", graphs: bool = True, compiled: bool = False) -> Execution:
    """An `Execution` by the name of its precision.

    Raises:
        ValueError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"the precision of a synthesis must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return Execution(PRECISIONS[precision], graphs, compiled)

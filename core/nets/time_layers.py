"""Linear layers whose map changes with time (and a context): the pieces of vector fields.

Layer types of FFJORD (arXiv 1810.01367) and PointFlow (1906.12320). At a given time every one of them is an affine map

    y = (W x) * scale + shift,

so that value, Jacobian products and trace of a field are written once, for all types (`flowsuite.core.nets.mlp_field`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.nets.affine_map import AffineMap


class TimeLinear(nn.Module):
    """A layer of a field: `condition(context)` once per solve, `affine(time, condition)` once per time.

    Args:
        in_features, out_features: sizes of input and output.
        time_features: size F of the time embedding, (F,) for all or (B, F); 1 is the bare time.
        context_features: size of the context (B, context_features); 0 for none.
    """

    def __init__(self, in_features: int, out_features: int, time_features: int = 1, context_features: int = 0):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.time_features, self.context_features = time_features, context_features

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}"

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def condition(self, context: Tensor | None) -> tuple[Tensor, ...]:
        """What depends on the context alone."""
        raise NotImplementedError

    def affine(self, time: Tensor, condition: tuple[Tensor, ...]) -> AffineMap:
        raise NotImplementedError


class Modulated(nn.Module):
    """Mixin of layers whose output time and context act on: `y * gate([t; c]) + U [t; c]`, with either or both.

    The gate is `sigmoid(G [t; c] + g)` or, without the sigmoid, `G [t; c] + g`. All parameters start as PyTorch
    initialises a linear layer of the same sizes.
    """

    def add_modulation(
        self, features: int, time_features: int, context_features: int, gate: str | None, bias: bool
    ) -> None:
        """Sets `gate` and `hyper_bias`, of `features` outputs; `gate` is "sigmoid", "linear" or None."""
        extra = time_features + context_features
        self.columns, self.gate_kind = (time_features, context_features), gate
        self.gate = nn.Linear(extra, features) if gate else None
        self.hyper_bias = nn.Linear(extra, features, bias=False) if bias else None

    def _split(self, linear: nn.Linear) -> tuple[Tensor, Tensor]:
        """The columns for the time and those for the context."""
        return linear.weight.split(self.columns, dim=1)

    def condition(self, context: Tensor | None) -> tuple[Tensor, ...]:
        if not self.columns[1]:
            return ()
        parts = []
        if self.gate is not None:
            parts.append(F.linear(context, self._split(self.gate)[1], self.gate.bias))
        if self.hyper_bias is not None:
            parts.append(F.linear(context, self._split(self.hyper_bias)[1]))
        return tuple(parts)

    def modulate(self, bias: Tensor, time: Tensor, condition: tuple[Tensor, ...]) -> tuple[Tensor | None, Tensor]:
        """`(gate, bias * gate + U [t; c])`, each (features,) or (B, features); no gate is None."""
        parts, scale, shift = list(condition), None, bias
        if self.gate is not None:
            scale = F.linear(time, self._split(self.gate)[0], None if parts else self.gate.bias)
            scale = scale + parts.pop(0) if parts else scale
            scale = torch.sigmoid(scale) if self.gate_kind == "sigmoid" else scale
            shift = shift * scale
        if self.hyper_bias is not None:
            shift = shift + F.linear(time, self._split(self.hyper_bias)[0])
            shift = shift + parts.pop(0) if parts else shift
        return scale, shift


class GatedLinear(Modulated, TimeLinear):
    """`y = (W x + b) * gate([t; c]) + U [t; c]`, with or without the gate and the last term (see `Modulated`)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        time_features: int = 1,
        context_features: int = 0,
        gate: str | None = None,
        bias: bool = False,
    ):
        super().__init__(in_features, out_features, time_features, context_features)
        self.linear = nn.Linear(in_features, out_features)
        self.add_modulation(out_features, time_features, context_features, gate, bias)

    def affine(self, time, condition):
        scale, shift = self.modulate(self.linear.bias, time, condition)
        if scale is not None and scale.ndim == 1:
            return AffineMap(self.linear.weight * scale.unsqueeze(1), None, shift)
        return AffineMap(self.linear.weight, scale, shift)


class ConcatLinear(GatedLinear):
    """`y = W [t; c; x] + b`: initialised as one linear layer of all inputs together."""

    def __init__(self, in_features: int, out_features: int, time_features: int = 1, context_features: int = 0):
        super().__init__(in_features, out_features, time_features, context_features, bias=True)
        extra = time_features + context_features
        whole = nn.Linear(extra + in_features, out_features)
        with torch.no_grad():
            self.hyper_bias.weight.copy_(whole.weight[:, :extra])
            self.linear.weight.copy_(whole.weight[:, extra:])
            self.linear.bias.copy_(whole.bias)

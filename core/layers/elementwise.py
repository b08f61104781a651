"""Element-wise maps with parameters given per element: what couplings and autoregressive layers apply."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.layers.scale import SigmoidScale


class ElementwiseMap(nn.Module):
    """A monotone map of every element, given `n_params` numbers per element.

    `forward(x, params) -> (y, log dy/dx)` and `inverse(y, params) -> (x, log dx/dy)`; `params` has the shape of `x`
    with one more axis of size `n_params` at the end, the log-derivatives have the shape of `x`, or are None where they
    vanish everywhere.
    """

    n_params: int

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError

    def inverse(self, y: Tensor, params: Tensor) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError


class Additive(ElementwiseMap):
    """`y = x + t`: volume-preserving (NICE, arXiv 1410.8516)."""

    n_params = 1

    def forward(self, x, params):
        return x + params.squeeze(-1), None

    def inverse(self, y, params):
        return y - params.squeeze(-1), None


class Affine(ElementwiseMap):
    """`y = (x + t) * exp(l)` with `l = scale(h)`; `params[..., 0] = t`, `params[..., 1] = h`.

    Glow and the published RealNVP code shift first; `shift_first=False` gives `y = x * exp(l) + t`, the form in the
    RealNVP and MAF papers (arXiv 1605.08803, 1705.07057).
    """

    n_params = 2

    def __init__(self, scale: nn.Module | None = None, shift_first: bool = True):
        super().__init__()
        self.scale = SigmoidScale() if scale is None else scale
        self.shift_first = shift_first

    def forward(self, x, params):
        shift, h = params.unbind(-1)
        log_scale = self.scale(h)
        scale = log_scale.exp()
        return ((x + shift) * scale if self.shift_first else x * scale + shift), log_scale

    def inverse(self, y, params):
        shift, h = params.unbind(-1)
        log_scale = self.scale(h)
        scale = (-log_scale).exp()
        return (y * scale - shift if self.shift_first else (y - shift) * scale), -log_scale


class Gated(ElementwiseMap):
    """`y = g x + (1 - g) m` with `g = sigmoid(s + offset)`; `params[..., 0] = m`, `params[..., 1] = s` (IAF,
    arXiv 1606.04934, eq. 14; offset 1 as in arXiv 1803.05649)."""

    n_params = 2

    def __init__(self, offset: float = 1.0):
        super().__init__()
        self.offset = offset

    def forward(self, x, params):
        mean, s = params.unbind(-1)
        return torch.lerp(mean, x, torch.sigmoid(s + self.offset)), F.logsigmoid(s + self.offset)

    def inverse(self, y, params):
        mean, s = params.unbind(-1)
        # 1 / g = 1 + exp(-s - offset), and (y - (1 - g) m) / g = y + (y - m) exp(-s - offset)
        return y + (y - mean) * torch.exp(-s - self.offset), -F.logsigmoid(s + self.offset)

"""Invertible 1x1 convolutions over any number of spatial axes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.core.layers.channel_affine import ChannelAffine


def random_rotation(channels: int) -> Tensor:
    """A random orthogonal matrix: Q of the QR decomposition of a Gaussian one."""
    return torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0]


class InvertibleConv1x1(ChannelAffine):
    """`z = W x` with a free square matrix, a random rotation at first (Glow, arXiv 1807.03039, section 3.2).

    log-det: `positions * log|det W|`, by an LU decomposition each time the weight changes.
    """

    def __init__(self, channels: int):
        super().__init__(channels)
        self.weight = nn.Parameter(random_rotation(channels).to(torch.get_default_dtype()).contiguous())

    @classmethod
    def stacked_affine(cls, layers):
        weight = torch.stack([layer.weight for layer in layers])
        return weight, weight.new_zeros(weight.shape[:2]), torch.linalg.slogdet(weight)[1]


class InvertibleConv1x1LU(ChannelAffine):
    """`z = P L (U + diag(sign * exp(log_s))) x`: the log-det is a sum of parameters, `positions * sum(log_s)`.

    `L` is unit lower triangular, `U` strictly upper; the permutation `P` and the signs stay as they were drawn.
    (Glow, arXiv 1807.03039, equation 10.)

    Args:
        channels: size of axis 1.
        row_vector: multiply from the right, `z^T = x^T P L (U + ...)`, as the TensorFlow implementations do.
    """

    def __init__(self, channels: int, row_vector: bool = False):
        super().__init__(channels)
        self.row_vector = row_vector
        permutation, lower, upper = torch.linalg.lu(random_rotation(channels))
        diagonal = upper.diagonal()
        dtype = torch.get_default_dtype()
        self.lower = nn.Parameter(lower.tril(-1).to(dtype).contiguous())
        self.upper = nn.Parameter(upper.triu(1).to(dtype).contiguous())
        self.log_s = nn.Parameter(diagonal.abs().log().to(dtype))
        self.register_buffer("permutation", permutation.to(dtype))
        self.register_buffer("sign", diagonal.sign().to(dtype))

    @classmethod
    def _factors(cls, layers):
        permutation, lower, upper, log_s, sign = (
            torch.stack([getattr(layer, name) for layer in layers])
            for name in ("permutation", "lower", "upper", "log_s", "sign")
        )
        unit = torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device)
        return permutation, lower.tril(-1) + unit, upper.triu(1) + torch.diag_embed(sign * log_s.exp()), log_s

    @classmethod
    def stacked_affine(cls, layers):
        permutation, lower, upper, log_s = cls._factors(layers)
        weight = permutation @ lower @ upper
        weight = weight.mT if layers[0].row_vector else weight
        return weight, weight.new_zeros(weight.shape[:2]), log_s.sum(-1)

    def inverse_affine(self):
        permutation, lower, upper, _ = (factor[0].double() for factor in self._factors([self]))
        half = torch.linalg.solve_triangular(lower, permutation.T, upper=False, unitriangular=True)
        inverse = torch.linalg.solve_triangular(upper, half, upper=True)
        inverse = inverse.mT if self.row_vector else inverse
        return inverse.to(self.lower.dtype), self.lower.new_zeros(self.channels)

"""Fixed permutations of the channel axis."""

from __future__ import annotations

import torch

from flowsuite.core.layers.channel_affine import ChannelAffine, check_channels
from flowsuite.core.numerics import zero_ladj


class Permutation(ChannelAffine):
    """`z[:, i] = x[:, order[i]]`, log-det 0. The order is a buffer, so a checkpoint restores it."""

    def __init__(self, order: torch.Tensor):
        order = torch.as_tensor(order, dtype=torch.long)
        if sorted(order.tolist()) != list(range(order.numel())):
            raise ValueError(f"order must be a permutation of 0..{order.numel() - 1}, got {order.tolist()}")
        super().__init__(order.numel())
        self.register_buffer("order", order)
        self.register_buffer("matrix", torch.eye(order.numel())[order], persistent=False)

    @classmethod
    def reverse(cls, channels: int) -> Permutation:
        return cls(torch.arange(channels - 1, -1, -1))

    @classmethod
    def shuffle(cls, channels: int) -> Permutation:
        """A random order drawn from torch's global generator."""
        return cls(torch.randperm(channels))

    def _load_from_state_dict(self, state_dict, prefix, *args):
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.matrix.copy_(torch.eye(self.channels)[self.order.cpu()])

    @classmethod
    def stacked_affine(cls, layers):
        weight = torch.stack([layer.matrix for layer in layers])
        return weight, weight.new_zeros(weight.shape[:2]), weight.new_zeros(len(layers))

    def inverse_affine(self):
        return self.matrix.T, self.matrix.new_zeros(self.channels)

    def forward(self, x, context=None):
        check_channels(x, self.channels, "Permutation")
        return x[:, self.order], zero_ladj(x)

    def inverse(self, z, context=None):
        return self.generate(z), zero_ladj(z)

    def generate(self, z, context=None):
        check_channels(z, self.channels, "Permutation")
        return z[:, torch.argsort(self.order)]

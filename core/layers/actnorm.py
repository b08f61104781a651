"""ActNorm and the data-dependent initialisation of whatever normalises activations."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from flowsuite.core.layers.channel_affine import ChannelAffine, check_channels, positions
from flowsuite.core.layers.statistics import channel_moments
from flowsuite.core.numerics import at_least_float32

_initializing: ContextVar[bool] = ContextVar("initializing", default=False)


@contextlib.contextmanager
def data_dependent_init():
    """Within this context every forward pass initialises the ActNorms it meets for the first time."""
    token = _initializing.set(True)
    try:
        yield
    finally:
        _initializing.reset(token)


def initializing() -> bool:
    return not torch.compiler.is_compiling() and _initializing.get()


class ActNorm(ChannelAffine):
    """Per-channel scale and shift that start by whitening the first batch (Glow, arXiv 1807.03039).

    - `parameterization="exp"` (the paper's code): `z = (x + shift) * exp(f * log_scale)` with `f = logscale_factor`;
      the factor acts as a learning-rate multiplier.
    - `parameterization="scale"` (PyTorch ports): `z = (x + shift) * scale`, where `scale` may change its sign.

    log-det: `positions * sum(f * log_scale)`, or `positions * sum(log|scale|)`.

    Args:
        channels: size of axis 1.
        parameterization: "exp" or "scale".
        logscale_factor: the factor `f`, 3 in the published code.
        unbiased: divide by n - 1 in the initial standard deviation (the ports), not by n (the paper's code).
        min_std: floor of the initial standard deviation, so that a constant channel is left at a sane scale. The
            published code adds 1e-6 to the standard deviation; so does this layer, above the floor.
    """

    def __init__(
        self,
        channels: int,
        parameterization: str = "exp",
        logscale_factor: float = 3.0,
        unbiased: bool = False,
        min_std: float = 1e-3,
    ):
        super().__init__(channels)
        if parameterization not in ("exp", "scale"):
            raise ValueError(f'parameterization must be "exp" or "scale", got {parameterization!r}')
        self.parameterization = parameterization
        self.logscale_factor = logscale_factor
        self.unbiased = unbiased
        self.min_std = min_std
        self.shift = nn.Parameter(torch.zeros(channels))
        initial = torch.zeros(channels) if parameterization == "exp" else torch.ones(channels)
        self.scale = nn.Parameter(initial)
        self.register_buffer("initialized", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Sets shift and scale such that `x` comes out with mean 0 and standard deviation 1 in every channel."""
        check_channels(x, self.channels, "ActNorm")
        mean, variance = channel_moments(x, self.unbiased)
        std = variance.sqrt().clamp_min(self.min_std) + 1e-6
        self.shift.copy_(-mean)
        self.scale.copy_(-std.log() / self.logscale_factor if self.parameterization == "exp" else 1 / std)
        self.initialized.fill_(True)

    def maybe_initialize(self, x: Tensor) -> None:
        """Initialises from `x` inside `data_dependent_init()` unless that has been done before."""
        if initializing() and not self.initialized:
            self.initialize(x)

    @classmethod
    def stacked_scale(cls, layers: list[ActNorm]) -> tuple[Tensor, Tensor, Tensor]:
        """`(scale, shift, log|scale|)`, each (K, C), such that `z = (x + shift) * scale`."""
        raw = torch.stack([layer.scale for layer in layers])
        shift = torch.stack([layer.shift for layer in layers])
        if layers[0].parameterization == "exp":
            log_scale = layers[0].logscale_factor * raw
            return log_scale.exp(), shift, log_scale
        return raw, shift, raw.abs().log()

    @classmethod
    def stacked_affine(cls, layers):
        scale, shift, log_scale = cls.stacked_scale(layers)
        return torch.diag_embed(scale), scale * shift, log_scale.sum(-1)

    def _elementwise(self, ndim: int) -> tuple[Tensor, Tensor, Tensor]:
        scale, shift, log_scale = self.stacked_scale([self])
        shape = (1, self.channels, *[1] * (ndim - 2))
        return scale.view(shape), shift.view(shape), log_scale.sum()

    def forward(self, x, context=None):
        check_channels(x, self.channels, "ActNorm")
        self.maybe_initialize(x)
        scale, shift, ladj = self._elementwise(x.ndim)
        return (at_least_float32(x) + shift) * scale, (positions(x) * ladj).expand(x.shape[0])

    def inverse(self, z, context=None):
        scale, shift, ladj = self._elementwise(z.ndim)
        return at_least_float32(z) / scale - shift, (-positions(z) * ladj).expand(z.shape[0])

    def generate(self, z, context=None):
        return self.inverse(z)[0]

"""Glow's step of flow, and a stack of them with the channel algebra folded and batched."""

from __future__ import annotations

from torch import Tensor

from flowsuite.core.cache import ParameterCache
from flowsuite.core.layers.actnorm import ActNorm, initializing
from flowsuite.core.layers.channel_affine import ChannelAffine, apply_channel_affine, invert_affine, positions
from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.transform import Compose


class FlowStep(Compose):
    """Activation normalisation, channel mixing, coupling, in encoding order (Glow, arXiv 1807.03039, figure 2a)."""

    def __init__(self, actnorm: ActNorm, mixer: ChannelAffine, coupling: Coupling):
        super().__init__([actnorm, mixer, coupling])
        self.channels = actnorm.channels

    @property
    def actnorm(self) -> ActNorm:
        return self.transforms[0]

    @property
    def mixer(self) -> ChannelAffine:
        return self.transforms[1]

    @property
    def coupling(self) -> Coupling:
        return self.transforms[2]


class FlowSteps(Compose):
    """K flow steps on one shape.

    Actnorm and mixer of a step are one matrix, `W diag(s) (x + shift)`: a single 1x1 convolution. Those of all K steps
    are formed by batched C x C algebra, and their log-dets, which do not depend on the input, are summed once. While
    autograd is off, the matrices and their inverses are cached.
    """

    def __init__(self, steps: list[FlowStep], reversible: bool = False):
        super().__init__(steps, reversible)
        self.cache = ParameterCache()
        if len({type(step.mixer) for step in steps}) != 1:
            raise ValueError("the steps of a FlowSteps must all mix channels in the same way")

    def _state(self) -> list[Tensor]:
        return [t for s in self for part in (s.actnorm, s.mixer) for t in (*part.parameters(), *part.buffers())]

    def _folded(self) -> tuple[Tensor, Tensor, Tensor]:
        """(K, C, C) weights, (K, C) biases and the sum of all log|det|."""
        mixers = [step.mixer for step in self]
        weight, bias, mixer_ladj = type(mixers[0]).stacked_affine(mixers)
        scale, shift, log_scale = ActNorm.stacked_scale([step.actnorm for step in self])
        weight = weight * scale.unsqueeze(1)
        bias = bias + (weight @ shift.unsqueeze(-1)).squeeze(-1)
        return weight, bias, mixer_ladj.sum() + log_scale.sum()

    def _folded_inverse(self) -> tuple[Tensor, Tensor]:
        weight, bias, _ = self._folded()
        return invert_affine(weight, bias)

    def run_forward(self, x, context=None):
        if initializing():
            return super().run_forward(x, context)
        weights, biases, ladj = self.cache.get("forward", self._state(), self._folded)
        total = (positions(x) * ladj).expand(x.shape[0])
        for step, weight, bias in zip(self, weights.unbind(), biases.unbind(), strict=True):
            x, ladj = step.coupling(apply_channel_affine(x, weight, bias), context)
            total = total + ladj
        return x, total

    def inverse(self, z, context=None):
        total = (-positions(z) * self.cache.get("forward", self._state(), self._folded)[2]).expand(z.shape[0])
        weights, biases = self.cache.get("inverse", self._state(), self._folded_inverse)
        for step, weight, bias in zip(reversed(self), reversed(weights), reversed(biases), strict=True):
            z, ladj = step.coupling.inverse(z, context)
            z = apply_channel_affine(z, weight, bias)
            total = total + ladj
        return z, total

    def generate(self, z, context=None):
        weights, biases = self.cache.get("inverse", self._state(), self._folded_inverse)
        for k in range(len(self) - 1, -1, -1):
            z = apply_channel_affine(self[k].coupling.generate(z, context), weights[k], biases[k])
        return z

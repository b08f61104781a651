"""The contract of a flow over one decision, and what the continuous ones share."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.numerics import at_least_float32, autocast_off
from flowsuite.molecules.prefix import Steps
from flowsuite.molecules.rgcn import Encoded

LOG_2PI = math.log(2 * math.pi)


class Decision(nn.Module):
    """A flow between a class out of K and K numbers of standard normal noise, given the state it is decided in.

    - `prepare(encoded, steps) -> params` (E, ...): all that the network says, evaluated once a decision;
    - `log_prob(params, target) -> (E,)`: nats of the class, or a bound on them, in float32 or better;
    - `log_probs(params) -> (E, K)`: those of all classes, of decisions that know them exactly;
    - `encode(params, target) -> (E, K)`: noise that decodes to the class;
    - `decode(params, noise, temperature) -> (E, K)`: scores whose argmax is the class.

    A decision can be drawn again from `params` with fresh noise: the network is not asked twice.

    Args:
        classes: K.
    """

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes

    def prepare(self, encoded: Encoded, steps: Steps) -> Tensor:
        raise NotImplementedError

    def log_prob(self, params: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError

    def log_probs(self, params: Tensor) -> Tensor:
        raise NotImplementedError

    def encode(self, params: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError

    def decode(self, params: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        raise NotImplementedError


class ContinuousDecision(Decision):
    """A flow over the dequantised class `y = onehot(class) + c u`, `u ~ U[0, 1)^K` (arXiv 2001.09382, c = 0.9).

    With `z = f(y)`, `log P(class) >= E_u[log N(z; 0, e^v I) + log|dz/dy|] + K log c`, as u has density c^-K in y; the
    class of `y` is its argmax, exactly if c < 1. A subclass defines `transform` and `invert`.

    Args:
        classes: K.
        dequantization: c.
        prior_log_var: v, a parameter that decisions may share; None for 0.
    """

    def __init__(self, classes: int, dequantization: float = 0.9, prior_log_var: Tensor | None = None):
        super().__init__(classes)
        if not 0 < dequantization < 1:
            raise ValueError(f"dequantization must be between 0 and 1, got {dequantization}")
        self.dequantization = dequantization
        self._prior = (prior_log_var,)  # in a tuple: the parameter stays the owner's

    @property
    def prior_log_var(self) -> Tensor | None:
        return self._prior[0]

    def transform(self, params: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """`(z (E, K), log|dz/dy| (E,))`."""
        raise NotImplementedError

    def invert(self, params: Tensor, z: Tensor) -> Tensor:
        """`y` (E, K)."""
        raise NotImplementedError

    def dequantize(self, target: Tensor, u: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """`y` of classes (E,), -1 for none of them; `u` (E, K) is drawn, in the given precision, if it is not given."""
        onehot = F.one_hot(target.clamp_min(0), self.classes) * (target >= 0)[:, None]
        u = torch.rand(onehot.shape, dtype=dtype, device=target.device) if u is None else u
        return onehot + self.dequantization * u

    def log_density(self, z: Tensor, ladj: Tensor) -> Tensor:
        """`log N(z; 0, e^v I) + ladj`, (E,), nats."""
        if self.prior_log_var is None:
            return ladj - 0.5 * (z.square() + LOG_2PI).sum(1)
        v = self.prior_log_var
        return ladj - 0.5 * (z.square() * (-v).exp() + v + LOG_2PI).sum(1)

    def log_prob(self, params, target, u=None):
        with autocast_off(params):
            params = at_least_float32(params)
            z, ladj = self.transform(params, self.dequantize(target, u, params.dtype))
            return self.log_density(z, ladj) + self.classes * math.log(self.dequantization)

    def prior_scale(self) -> Tensor | float:
        return 1.0 if self.prior_log_var is None else (0.5 * self.prior_log_var).exp()

    def encode(self, params, target):
        with autocast_off(params):
            params = at_least_float32(params)
            return self.transform(params, self.dequantize(target, dtype=params.dtype))[0] / self.prior_scale()

    def decode(self, params, noise, temperature=1.0):
        with autocast_off(params):
            params = at_least_float32(params)
            return self.invert(params, noise.to(params) * temperature * self.prior_scale())

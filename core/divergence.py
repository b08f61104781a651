"""How the trace of a vector field's Jacobian is computed. One name chooses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flowsuite.core.nets.layered_field import LayeredField
from flowsuite.core.nets.vector_field import VectorField, brute_force_divergence, float32_sum

# Evaluations of the field up to which "auto" takes the exact trace. An estimate costs 2; evaluation wants no noise.
CHEAP_IN_TRAINING, CHEAP_IN_EVALUATION = 3.0, 130.0


class Divergence:
    """`tr df/dx` of a field. Calls return `(f, divergence, J)`, where `J` is a Jacobian product or None.

    The product is that of the frozen probe e, `e'J` or `J e`: its squared norm estimates `|df/dx|_F^2` without bias.

    Attributes:
        gives_product: whether `J` is not None.
    """

    gives_product = False

    def probe(self, x: Tensor, field: VectorField | None = None) -> Tensor | None:
        """What is drawn once per solve, and frozen: a random right-hand side would stall an adaptive solver."""
        return None

    def __call__(self, field: VectorField, t: Tensor, x: Tensor, condition: Any, probe: Tensor | None):
        raise NotImplementedError


class Exact(Divergence):
    """The field's closed form, where it has one."""

    def __call__(self, field, t, x, condition, probe):
        return *field.exact_divergence(t, x, condition), None


class BruteForce(Divergence):
    """One reverse pass for each coordinate."""

    def __call__(self, field, t, x, condition, probe):
        return *brute_force_divergence(field, t, x, condition), None


class Hutchinson(Divergence):
    """`e'J e` with `E[e e'] = I`: unbiased (arXiv 1810.01367), at the cost of one Jacobian product.

    Args:
        rademacher: signs +-1, whose variance comes from off-diagonal entries only, else standard normal.
        forward_mode: `e'(J e)`, which keeps no graph, else `(e'J) e`.
    """

    gives_product = True

    def __init__(self, rademacher: bool, forward_mode: bool):
        self.rademacher, self.forward_mode = rademacher, forward_mode

    def probe(self, x, field=None):
        return draw_like(x, self.rademacher)

    def __call__(self, field, t, x, condition, probe):
        product = field.jvp if self.forward_mode else field.vjp
        f, jacobian = product(t, x, probe, condition)
        return f, sum_over_field(jacobian * probe, field), jacobian


class Bottleneck(Divergence):
    """Hutchinson with a probe of the size of the middle hidden layer h (arXiv 1810.01367, section 3.1.1).

    `f = g(h(x))`, `tr J = tr(dh/dx dg/dh)`: where h is narrower than x the variance is lower.
    """

    def __init__(self, rademacher: bool):
        self.rademacher = rademacher

    def probe(self, x, field=None):
        return draw_like(x.new_empty(check_layered(field).code_shape(x)), self.rademacher)

    def __call__(self, field, t, x, condition, probe):
        return *check_layered(field).code_estimate(t, x, probe, condition), None


def draw_like(x: Tensor, rademacher: bool) -> Tensor:
    return torch.randint_like(x, 2).mul_(2).sub_(1) if rademacher else torch.randn_like(x)


def check_layered(field: VectorField | None) -> LayeredField:
    if not isinstance(field, LayeredField):
        raise ValueError(f"divergence 'bottleneck' needs a field with hidden layers, got {type(field).__name__}")
    return field


DIVERGENCES = {
    "exact": Exact(),
    "brute_force": BruteForce(),
    "hutchinson": Hutchinson(rademacher=False, forward_mode=False),
    "rademacher": Hutchinson(rademacher=True, forward_mode=False),
    "forward_hutchinson": Hutchinson(rademacher=False, forward_mode=True),
    "forward_rademacher": Hutchinson(rademacher=True, forward_mode=True),
    "bottleneck": Bottleneck(rademacher=False),
    "bottleneck_rademacher": Bottleneck(rademacher=True),
}


def choose_divergence(name: str, field: VectorField, shape: torch.Size, training: bool) -> str:
    """`name`, or what "auto" stands for with examples of this shape.

    That is "exact" where the trace costs at most 3 evaluations of the field (in evaluation mode: 130), else
    "forward_rademacher".
    """
    if name != "auto":
        return check_divergence(name)
    limit = CHEAP_IN_TRAINING if training else CHEAP_IN_EVALUATION
    return "exact" if field.exact_cost(shape) <= limit else "forward_rademacher"


def check_divergence(name: str) -> str:
    if name != "auto" and name not in DIVERGENCES:
        raise ValueError(f"unknown divergence {name!r}: expected auto or one of {', '.join(DIVERGENCES)}")
    return name


def sum_over_field(values: Tensor, field: VectorField) -> Tensor:
    """Sums the event axes of a field's state, in float32 or better: (B, *leading, *event) -> (B, *leading)."""
    return float32_sum(values, field.event_dims)

"""Log-densities of named variables, as probabilistic programming languages give them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution


class NamedLogDensity:
    """A function of named tensors, one point at a time, as a log-density of points (N, D).

    Takes what Pyro's `initialize_model` and its like in other languages return: a potential, minus the log-density of
    unconstrained variables by name. No such language is needed here.

    Example:
        >>> _, potential, transforms, _ = pyro.infer.mcmc.util.initialize_model(model, model_args=(data,))
        >>> log_p = NamedLogDensity(potential, {"mu": (), "theta": (8,)}, sign=-1)
        >>> q = fit_posterior(log_p, log_p.dim)
        >>> log_p.unpack(q.sample((100,)))["theta"]         # (100, 8)

    Args:
        function: from a dictionary of tensors of these shapes to a scalar.
        shapes: name -> shape, in the order in which they fill a point.
        sign: 1 if the function is a log-density, -1 if it is a potential.
    """

    def __init__(
        self, function: Callable[[dict[str, Tensor]], Tensor], shapes: Mapping[str, Sequence[int]], sign: int = 1
    ):
        if sign not in (1, -1):
            raise ValueError(f"sign must be 1 (log-density) or -1 (potential), got {sign}")
        if not shapes:
            raise ValueError("expected the shape of at least one variable")
        self.function, self.sign = function, sign
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.dim = sum(math.prod(shape) for shape in self.shapes.values())

    def unpack(self, z: Tensor) -> dict[str, Tensor]:
        """Points (..., D) as named tensors (..., *shape)."""
        if z.shape[-1] != self.dim:
            raise ValueError(f"expected points of {self.dim} numbers, got {tuple(z.shape)}")
        parts = z.split([math.prod(shape) for shape in self.shapes.values()], dim=-1)
        named = zip(self.shapes.items(), parts, strict=True)
        return {name: part.reshape(*z.shape[:-1], *shape) for (name, shape), part in named}

    def __call__(self, z: Tensor) -> Tensor:
        checked = Distribution._validate_args
        Distribution.set_default_validate_args(False)  # checks of arguments branch on numbers, which vmap refuses
        try:
            return self.sign * torch.func.vmap(self.function)(self.unpack(z))
        finally:
            Distribution.set_default_validate_args(checked)

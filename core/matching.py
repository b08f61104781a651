"""Flow matching for the continuous layer: the second objective of the same field.

The literature's time runs from noise (tau = 0) to data (tau = 1) along a velocity v; the `CNF` has data at s = 0 and
noise at s = T. With `s = T (1 - tau)` the two are one model:

    f(s, z) = -v(1 - s / T, z) / T.

A field trained here can be fine-tuned by likelihood and evaluated exactly, and the other way round.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from flowsuite.core.flow import Flow
from flowsuite.core.layers.continuous import CNF
from flowsuite.core.numerics import at_least_float32
from flowsuite.core.objective import flow_matching_loss
from flowsuite.core.pairing import PAIRINGS, pair_noise
from flowsuite.core.probability_paths import ProbabilityPath
from flowsuite.core.transform import Compose, Transform


def velocity(cnf: CNF, tau: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
    """`v(tau, x) = -T f(T (1 - tau), x)`, from noise to data, of the shape of x; no gradient reaches the end time T.

    Args:
        tau: (B,), 0 at the noise and 1 at the data.
        x: (B, *event), or (B, N, D) for a field of single points.
        context: (B, C) or None.
    """
    end = cnf.end_time.detach().to(x.dtype)
    return -end * cnf.field(end * (1 - tau), x, cnf.field.condition(context))


def matching_loss(
    cnf: CNF,
    data: Tensor,
    noise: Tensor,
    context: Tensor | None = None,
    path: ProbabilityPath | None = None,
    tau: Tensor | None = None,
) -> Tensor:
    """Flow-matching loss of one continuous layer, a scalar: one evaluation of the field, no divergence, no solve.

    Gradients reach the field and the context. A cloud (B, N, D) has one time for all its points.

    Args:
        data: what the layer takes at t = 0, (B, ...).
        noise: what it gives at t = T, paired with `data`.
        context: (B, C) or None.
        path: linear if None.
        tau: times (B,); drawn uniformly from [0, 1] if None.
    """
    data, noise = at_least_float32(data), at_least_float32(noise)
    if tau is None:
        tau = torch.rand(data.shape[0], device=data.device, dtype=data.dtype)
    x, target = (path or ProbabilityPath())(noise, data, tau)
    return flow_matching_loss(velocity(cnf, tau, x, context), target)


def split_at_cnf(transform: Transform) -> tuple[list[Transform], CNF, list[Transform]]:
    """The layers before the one continuous layer of a flow, that layer, and the layers after it."""
    layers = list(transform) if isinstance(transform, Compose) else [transform]
    found = [i for i, layer in enumerate(layers) if isinstance(layer, CNF)]
    total = sum(isinstance(module, CNF) for module in transform.modules())
    if len(found) != 1 or total != 1:
        raise ValueError(f"flow matching needs a flow with exactly one continuous layer, got {total}")
    return layers[: found[0]], layers[found[0]], layers[found[0] + 1 :]


@dataclass(frozen=True)
class FlowMatching:
    """How data and noise are paired and joined.

    Args:
        path: "linear" (rectified flow), "target" (Lipman) or "trigonometric", see `ProbabilityPath`.
        sigma: width of the path.
        pairing: "independent", or "optimal": the minibatch's exact optimal transport, for straighter paths. It is
            refused where there is a context, on which the noise would come to depend.
    """

    path: str = "linear"
    sigma: float = 0.0
    pairing: str = "independent"
    _path: ProbabilityPath = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "_path", ProbabilityPath(self.path, self.sigma))
        if self.pairing not in PAIRINGS:
            raise ValueError(f"unknown pairing {self.pairing!r}: expected one of {', '.join(PAIRINGS)}")

    def cnf_loss(self, cnf: CNF, data: Tensor, noise: Tensor, context: Tensor | None = None) -> Tensor:
        """`matching_loss` of a layer, with `noise` paired as configured; `noise` is as the layer gives it."""
        if self.pairing != "independent" and context is not None:
            raise ValueError("optimal pairing would make the noise depend on the context: take independent pairing")
        return matching_loss(cnf, data, pair_noise(noise, data, self.pairing), context, self._path)

    def flow_loss(
        self,
        flow: Flow,
        x: Tensor,
        context: Tensor | None = None,
        noise: Tensor | None = None,
        take_up: bool = True,
    ) -> Tensor:
        """Flow-matching loss of a flow with one continuous layer, a scalar.

        Data is mapped through the layers before that layer, noise back through those after it, without gradients. A
        moving batch norm before it takes up the batch as in training; one after it stays as it is.

        Args:
            x: data (B, ...).
            noise: standard latents already paired with `x` (reflow); drawn and paired if None.
            take_up: whether a moving batch norm before the continuous layer takes up the batch; off where the
                likelihood of the same batch does so already.
        """
        before, cnf, after = split_at_cnf(flow.transform)
        paired = noise is not None
        with torch.no_grad():
            for layer in before:
                with contextlib.nullcontext() if take_up else evaluation_mode(layer):
                    x = layer(x, context)[0]
            z = noise if paired else flow.base.sample(x.shape[0])
            for layer in reversed(after):
                z = decode_with(layer, z, context)
        if paired:
            return matching_loss(cnf, x, z.to(x), context, self._path)
        return self.cnf_loss(cnf, x, z.to(x), context)


@contextlib.contextmanager
def evaluation_mode(layer: Transform) -> Iterator[None]:
    """Inside the block `layer` is in evaluation mode, whatever mode it is in outside."""
    modes = [(module, module.training) for module in layer.modules()]
    layer.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def decode_with(layer: Transform, z: Tensor, context: Tensor | None) -> Tensor:
    """`layer.generate(z)` in evaluation mode."""
    with evaluation_mode(layer):
        return layer.generate(z, context)


def unmatched_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that flow matching gives no gradient: all but those of the fields."""
    fields = [layer.field for layer in module.modules() if isinstance(layer, CNF)]
    reached = {id(p) for vector_field in fields for p in vector_field.parameters()}
    return [p for p in module.parameters() if id(p) not in reached]

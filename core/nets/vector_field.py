"""The right-hand side of a continuous flow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class VectorField(nn.Module):
    """`dx/dt = f(t, x; c)`, smooth in `x`; nothing else is asked of it.

    A subclass defines `forward(t, x, condition=None) -> dx/dt`, of the shape of `x`, where

    - `t` is a scalar tensor during a solve, or (B,) when each example has its own time (flow matching);
    - `x` is (B, *leading, *event), the event being the last `event_dims` axes. What lies between batch and event (the
      points of a cloud) are independent particles: `f` must not mix them;
    - `condition` is what `self.condition(context)` returned: whatever of the context does not depend on time or state,
      computed once per solve.

    The derivatives below work for any field, by automatic differentiation. A field that knows its Jacobian in closed
    form overrides them, and `exact_cost`.
    """

    event_dims = 1

    def condition(self, context: Tensor | None) -> Any:
        """A tensor, nested tuples of tensors, or None."""
        return context

    def forward(self, t: Tensor, x: Tensor, condition: Any = None) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define forward(t, x, condition) -> dx/dt")

    def jvp(self, t: Tensor, x: Tensor, v: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """`(f, J v)` with `J = df/dx`, in forward mode; both of the shape of `x`."""
        return torch.func.jvp(lambda y: self(t, y, condition), (x,), (v,))

    def vjp(self, t: Tensor, x: Tensor, v: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """`(f, v' J)`, in reverse mode."""
        return reverse_vjp(self, t, x, v, condition)

    def exact_divergence(self, t: Tensor, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        """`(f, tr J)`; the trace has the shape of `x` without its event axes."""
        return brute_force_divergence(self, t, x, condition)

    def exact_cost(self, shape: torch.Size) -> float:
        """What `exact_divergence` costs for examples of this shape, (*leading, *event), in evaluations of the field."""
        return 1.0 + 2.0 * shape[len(shape) - self.event_dims :].numel()


def reverse_vjp(field: VectorField, t: Tensor, x: Tensor, v: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
    """`(f, v' J)` by autograd, differentiable again where gradients are on."""
    create_graph = torch.is_grad_enabled()
    check_autograd()
    with torch.enable_grad():
        x = x if create_graph and x.requires_grad else x.detach().requires_grad_()
        f = field(t, x, condition)
        pulled = _gradient(f, x, v, create_graph)
    return (f, pulled) if create_graph else (f.detach(), pulled)


def brute_force_divergence(field: VectorField, t: Tensor, x: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
    """`(f, tr J)` by one reverse pass for each coordinate of an event: the oracle for everything faster."""
    create_graph = torch.is_grad_enabled()
    check_autograd()
    with torch.enable_grad():
        x = x if create_graph and x.requires_grad else x.detach().requires_grad_()
        f = field(t, x, condition)
        flat = f.flatten(-field.event_dims)
        trace = 0
        for i in range(flat.shape[-1]):
            one = torch.zeros_like(flat)
            one[..., i] = 1
            trace = trace + _gradient(flat, x, one, True if create_graph else None).flatten(-field.event_dims)[..., i]
    return (f, trace) if create_graph else (f.detach(), trace)


def check_autograd() -> None:
    """In inference mode gradients would silently be 0."""
    if torch.is_inference_mode_enabled():
        raise RuntimeError(
            "this divergence needs autograd, which torch.inference_mode rules out: use torch.no_grad, or "
            "Trainer(inference_mode=False)"
        )


def _gradient(f: Tensor, x: Tensor, v: Tensor, create_graph: bool | None) -> Tensor:
    """`v' df/dx`, zero where `f` does not depend on `x`; `create_graph=None` keeps the graph without extending it."""
    if not f.requires_grad:
        return torch.zeros_like(x)
    grad = torch.autograd.grad(
        f, x, v, create_graph=bool(create_graph), retain_graph=create_graph is not False, allow_unused=True
    )[0]
    return torch.zeros_like(x) if grad is None else grad


def float32_sum(x: Tensor, dims: int = 1) -> Tensor:
    """Sums the last `dims` axes, in float32 or better."""
    return x.sum(dim=tuple(range(-dims, 0)), dtype=torch.promote_types(x.dtype, torch.float32))

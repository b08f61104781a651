"""Constant-memory backpropagation: activations are recomputed from outputs by running the layers backwards."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from flowsuite.core.numerics import present_autocast, refuse_torch_func
from flowsuite.core.transform import Compose, Transform


def atoms(transform: Transform) -> Iterator[Transform]:
    """The layers of a nested chain, in forward order."""
    if isinstance(transform, Compose):
        for part in transform:
            yield from atoms(part)
    else:
        yield transform


def reversible_forward(chain: Compose, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """`chain(x, context)`, keeping only the output for the backward pass (RevNets, arXiv 1707.04585).

    Backward walks the layers in reverse, each time recovering a layer's input by `Transform.replay` and
    backpropagating through that one layer. Memory does not grow with depth; the price is about one more evaluation of
    the conditioners. Gradients are exact up to the round-trip error of the layers.
    """
    refuse_torch_func("a reversible chain", "build the flow with reversible=False")
    parameters = [p for p in chain.parameters() if p.requires_grad]
    return _ReversibleChain.apply(chain, context, x, *parameters)


class _ReversibleChain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, chain, context, x, *parameters):
        ctx.chain, ctx.parameters = chain, parameters
        ctx.autocast = present_autocast(x)
        z, ladj = chain.run_forward(x, context)
        ctx.save_for_backward(z, context)
        return z, ladj.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_z, grad_ladj):
        z, context = ctx.saved_tensors
        wants_context = context is not None and ctx.needs_input_grad[1]
        if wants_context:
            context = context.detach().requires_grad_()
        grads: dict[Tensor, Tensor] = {}
        for layer in reversed(list(atoms(ctx.chain))):
            with torch.autocast(**ctx.autocast):
                x, z, ladj = layer.replay(z, context)
            inputs = [x, *(p for p in layer.parameters() if p.requires_grad)]
            if wants_context:
                inputs.append(context)
            outputs = [(out, g) for out, g in ((z, grad_z), (ladj, grad_ladj)) if out.requires_grad]
            grad_z, *rest = torch.autograd.grad(
                [out for out, _ in outputs], inputs, [g for _, g in outputs], allow_unused=True
            )
            for tensor, grad in zip(inputs[1:], rest, strict=True):
                if grad is not None:
                    grads[tensor] = grads[tensor] + grad if tensor in grads else grad
            z = x.detach()
        return (
            None,
            grads.get(context) if wants_context else None,
            grad_z,
            *(grads.get(p) for p in ctx.parameters),
        )

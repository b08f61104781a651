"""Filling in missing pixels by climbing a flow's likelihood (NICE, arXiv 1410.8516, section 5.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.images.flow import ImageFlow


def inpaint(
    flow: ImageFlow,
    images: Tensor,
    mask: Tensor,
    steps: int = 1000,
    step_size: float = 10.0,
    step_offset: float = 100.0,
    noise: float = 1.0,
    context: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Images with the hidden pixels replaced: stochastic gradient ascent on `log p(x_observed, x_hidden)`.

    Step i = 0, 1, ...: `x_h <- clip(x_h + a_i (d log p / d x_h + noise * e), 0, 1)` with `e ~ N(0, I)` and
    `a_i = step_size / (step_offset + i)`, all images at once. The hidden pixels start as U[0, 1); observed ones are at
    the middle of their bin, and come back untouched.

    Args:
        flow: an image flow in evaluation mode.
        images: (N, C, H, W) uint8; what hidden pixels hold does not matter.
        mask: bool, True on observed pixels, broadcastable to the images.
        context: labels, for a class-conditional flow.
        generator: source of the randomness, on the images' device.
    """
    flow.check_images(images)
    if flow.training:
        raise RuntimeError("inpainting needs a flow in evaluation mode: call .eval() first")
    if mask.dtype != torch.bool:
        raise TypeError(f"the mask must be bool, True on observed pixels, got {mask.dtype}")
    try:
        observed = mask.to(images.device).expand_as(images)
    except RuntimeError:
        raise ValueError(f"the mask {tuple(mask.shape)} does not broadcast to images {tuple(images.shape)}") from None
    density = flow.continuous
    known = flow.dequantize.center(images)
    start = torch.rand(known.shape, generator=generator, device=known.device, dtype=known.dtype)
    y = torch.where(observed, known, start)
    top = 1 - torch.finfo(y.dtype).eps
    for i in range(steps):
        with torch.enable_grad():
            leaf = y.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(density.log_prob(leaf, context).sum(), leaf)
        e = torch.randn(y.shape, generator=generator, device=y.device, dtype=y.dtype)
        moved = (y + step_size / (step_offset + i) * (gradient + noise * e)).clamp(0, top)
        y = torch.where(observed, known, moved)
    return torch.where(observed, images, flow.dequantize.generate(y.detach()))

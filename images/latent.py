"""Arithmetic on standard latents: interpolation, attribute directions, statistics."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from flowsuite.core.layers.conv1x1 import InvertibleConv1x1, InvertibleConv1x1LU
from flowsuite.core.numerics import at_least_float32
from flowsuite.images.flow import ImageFlow


def interpolate(a: Tensor, b: Tensor, steps: int, spherical: bool = False) -> Tensor:
    """`steps` latents from `a` to `b`, both (D,), ends included: (steps, D).

    Linear, `(1 - t) a + t b`, as in the Glow paper; or spherical,
    `(sin((1 - t) w) a + sin(t w) b) / sin w` with `w` the angle between them, which keeps the norm typical of a sample
    (arXiv 1609.04468).
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    t = torch.linspace(0, 1, steps, device=a.device, dtype=a.dtype)[:, None]
    if not spherical:
        return (1 - t) * a + t * b
    angle = torch.acos(torch.cosine_similarity(a, b, dim=0).clamp(-1, 1))
    if torch.sin(angle) < 1e-6:
        return (1 - t) * a + t * b
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


@torch.no_grad()
def attribute_direction(flow: ImageFlow, batches: Iterable[tuple[Tensor, Tensor]], positive: int = 1) -> Tensor:
    """`mean(eps | label = positive) - mean(eps | label != positive)` over labelled images, (D,).

    Glow's demo (arXiv 1807.03039, section 5) moves faces along 1.6 times this vector.
    """
    device = flow.base.anchor.device
    sums, counts = torch.zeros(2, flow.dims, dtype=torch.float64, device=device), [0, 0]
    for x, labels in batches:
        labels = labels.to(device)
        eps = at_least_float32(flow.encode(x.to(device), labels if flow.n_classes else None)).double()
        for side in (0, 1):
            chosen = (labels == positive) == bool(side)
            sums[side] += eps[chosen].sum(0)
            counts[side] += int(chosen.sum())
    if not all(counts):
        raise ValueError(
            f"an attribute direction needs images with label {positive} and with another one, "
            f"got {counts[1]} and {counts[0]}"
        )
    return (sums[1] / counts[1] - sums[0] / counts[0]).to(flow.base.anchor.dtype)


def moments(eps: Tensor) -> dict[str, float]:
    """Statistics of latents that ought to be standard normal: mean 0, std 1, kurtosis 3, 4.55e-2 beyond 2 sigma."""
    values = eps.flatten().double()
    mean, std = values.mean(), values.std()
    centred = (values - mean) / std
    return {
        "mean": mean.item(),
        "std": std.item(),
        "skew": centred.pow(3).mean().item(),
        "kurtosis": centred.pow(4).mean().item(),
        "beyond_2": (values.abs() > 2).double().mean().item(),
        "beyond_4": (values.abs() > 4).double().mean().item(),
        "max": values.abs().max().item(),
    }


@torch.no_grad()
def conv1x1_conditions(flow: nn.Module) -> dict[str, float]:
    """Condition number (largest over smallest singular value) of every invertible 1x1 convolution, by its name."""
    found = {}
    for name, module in flow.named_modules():
        if isinstance(module, (InvertibleConv1x1, InvertibleConv1x1LU)):
            found[name] = torch.linalg.cond(module.affine()[0].double()).item()
    return found

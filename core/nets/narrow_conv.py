"""Same-size convolution between a narrow and a wide set of channels, on CPUs as matrix products of patches.

Coupling nets lead from a few channels to many and back. oneDNN is slow on these shapes, above all backwards; the
patches of the *narrow* side are small, and every product with them runs at the speed of a plain matrix product.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.layers.channel_affine import apply_channel_affine


def patches(x: Tensor, kernel_size: int) -> Tensor:
    """What a zero-padded kernel sees at every position: (B, H, W, C) -> (B * H * W, k * k * C), channels fastest."""
    batch, height, width, channels = x.shape
    pad = kernel_size // 2
    padded = F.pad(x, (0, 0, pad, pad, pad, pad))
    per_image, per_row, per_pixel, _ = padded.stride()
    windows = padded.as_strided(
        (batch, height, width, kernel_size, kernel_size * channels), (per_image, per_row, per_pixel, per_row, 1)
    )
    return windows.reshape(batch * height * width, kernel_size**2 * channels)


def sum_patches(columns: Tensor, shape: torch.Size, kernel_size: int) -> Tensor:
    """The adjoint of `patches`: (B * H * W, k * k * C) -> (B, H, W, C)."""
    batch, height, width, channels = shape
    pad = kernel_size // 2
    columns = columns.view(batch, height, width, kernel_size, kernel_size, channels)
    x = columns.new_zeros(batch, height + 2 * pad, width + 2 * pad, channels)
    for i in range(kernel_size):
        for j in range(kernel_size):
            x[:, i : i + height, j : j + width] += columns[:, :, :, i, j]
    return x[:, pad : pad + height, pad : pad + width]


@functools.lru_cache(maxsize=64)
def ring_patches(height: int, width: int, kernel_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """What a kernel sees of a ring of ones around a zero image: (H * W, k * k)."""
    pad = kernel_size // 2
    with torch.inference_mode(False):  # kept across calls: must be an ordinary tensor
        image = F.pad(torch.zeros(1, 1, height, width, dtype=dtype, device=device), [pad] * 4, value=1.0)
        return F.unfold(image, kernel_size)[0].T.contiguous()


class NarrowToWide(torch.autograd.Function):
    """`relu(conv(x, weight) + bias + e)`, few channels to many; `e` is the map of a ring of ones under `edge_weight`.

    x (B, C, H, W), weight (O, C, k, k), bias (O,), edge_weight (O, 1, k, k) or None -> (B, O, H, W), channels last.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, edge_weight, relu):
        x = x.permute(0, 2, 3, 1)
        out_channels, _, kernel_size, _ = weight.shape
        matrix = weight.permute(2, 3, 1, 0).reshape(-1, out_channels)
        if edge_weight is not None:
            matrix = torch.cat((matrix, edge_weight.reshape(out_channels, -1).T))
        ctx.kernel_size, ctx.has_edge = kernel_size, edge_weight is not None
        y = torch.addmm(bias, NarrowToWide.columns(ctx, x), matrix)
        if relu:
            y.relu_()
        ctx.save_for_backward(x, matrix, y if relu else None)
        return y.view(*x.shape[:3], out_channels).permute(0, 3, 1, 2)

    @staticmethod
    def columns(ctx, x):
        columns = patches(x, ctx.kernel_size)
        if ctx.has_edge:
            batch, height, width, _ = x.shape
            ring = ring_patches(height, width, ctx.kernel_size, x.device, x.dtype)
            columns = torch.cat((columns, ring.expand(batch, -1, -1).reshape(len(columns), -1)), dim=1)
        return columns

    @staticmethod
    def backward(ctx, grad):
        x, matrix, rectified = ctx.saved_tensors
        k, channels, out_channels = ctx.kernel_size, x.shape[3], grad.shape[1]
        grad = grad.permute(0, 2, 3, 1).reshape(-1, out_channels)
        if rectified is not None:
            grad = torch.ops.aten.threshold_backward(grad, rectified, 0)
        grad_matrix = NarrowToWide.columns(ctx, x).T @ grad
        inner = k * k * channels
        grad_weight = grad_matrix[:inner].view(k, k, channels, out_channels).permute(3, 2, 0, 1)
        grad_edge = grad_matrix[inner:].T.reshape(out_channels, 1, k, k) if ctx.has_edge else None
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = sum_patches(grad @ matrix[:inner].T, x.shape, k).permute(0, 3, 1, 2)
        return grad_x, grad_weight, grad.sum(0), grad_edge, None


class WideToNarrow(torch.autograd.Function):
    """`conv(x, weight) + bias`, many channels to few; x (B, C, H, W), weight (O, C, k, k) -> (B, O, H, W)."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        out_channels, channels, k, _ = weight.shape
        grad = grad.permute(0, 2, 3, 1)
        x = x.permute(0, 2, 3, 1)
        columns = patches(grad, k)  # offset (i, j) of these meets the kernel at (k-1-i, k-1-j)
        matrix = weight.flip(2, 3).permute(2, 3, 0, 1).reshape(-1, channels)
        grad_x = (columns @ matrix).view(x.shape).permute(0, 3, 1, 2)
        grad_matrix = columns.T @ x.reshape(-1, channels)
        grad_weight = grad_matrix.view(k, k, out_channels, channels).permute(2, 3, 0, 1).flip(2, 3)
        return grad_x, grad_weight, grad.sum((0, 1, 2))


def use_patches(x: Tensor) -> bool:
    """Where the products of patches win: eager float32 or float64 on a CPU."""
    return x.device.type == "cpu" and x.dtype != torch.bfloat16 and not torch.is_autocast_enabled("cpu")


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, edge_weight: Tensor | None = None, relu: bool = False
) -> Tensor:
    """Same-size convolution of (B, C, H, W) by an odd kernel, plus a ring of ones under `edge_weight` (O, 1, k, k).

    `relu` rectifies the result.
    """
    kernel_size = weight.shape[2]
    bias = weight.new_zeros(weight.shape[0]) if bias is None else bias
    if use_patches(x):
        if kernel_size > 1 and weight.shape[1] < weight.shape[0]:
            return NarrowToWide.apply(x, weight, bias, edge_weight, relu)
        if kernel_size == 1:
            return apply_channel_affine(x, weight[:, :, 0, 0], bias, relu)
        y = WideToNarrow.apply(x, weight, bias)
    else:
        y = F.conv2d(x, weight, bias, padding=kernel_size // 2)
    if edge_weight is not None:
        height, width = x.shape[2:]
        ring = ring_patches(height, width, kernel_size, x.device, edge_weight.dtype)
        y = y + (edge_weight.flatten(1) @ ring.T).view(1, -1, height, width)
    return F.relu(y, inplace=True) if relu else y

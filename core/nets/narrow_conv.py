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
from flowsuite.core.numerics import in_torch_func


def patches(x: Tensor, kernel_size: int, dilation: int = 1) -> Tensor:
    """What a zero-padded kernel sees at every position: (B, H, W, C) -> (B * H * W, k * k * C), channels fastest."""
    batch, height, width, channels = x.shape
    pad = dilation * (kernel_size // 2)
    padded = F.pad(x, (0, 0, pad, pad, pad, pad))
    per_image, per_row, per_pixel, _ = padded.stride()
    windows = padded.as_strided(
        (batch, height, width, kernel_size, kernel_size, channels),
        (per_image, per_row, per_pixel, dilation * per_row, dilation * per_pixel, 1),
    )
    return windows.reshape(batch * height * width, kernel_size**2 * channels)


def ring_patches(x: Tensor, kernel_size: int, dilation: int = 1) -> Tensor:
    """What a kernel sees of a ring of ones around a zero image as large as `x`, at every position: (H * W, k * k)."""
    make = make_ring_patches if torch.compiler.is_compiling() else cached_ring_patches
    return make(*x.shape[2:], kernel_size, dilation, x.device, x.dtype)


def make_ring_patches(
    height: int, width: int, kernel_size: int, dilation: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    pad = dilation * (kernel_size // 2)
    image = F.pad(torch.zeros(1, 1, height, width, dtype=dtype, device=device), [pad] * 4, value=1.0)
    return F.unfold(image, kernel_size, dilation=dilation)[0].T.contiguous()


@functools.lru_cache(maxsize=64)
def cached_ring_patches(*key) -> Tensor:
    with torch.inference_mode(False):  # kept across calls: must be an ordinary tensor
        return make_ring_patches(*key)


def transposed(weight: Tensor) -> Tensor:
    """The kernel of the transposed convolution: (O, C, k, k) -> (C, O, k, k), turned by 180 degrees."""
    return weight.flip(2, 3).transpose(0, 1)


def kernel_matrix(weight: Tensor) -> Tensor:
    """(O, C, k, k) as the matrix (k * k * C, O) that `patches` are multiplied by."""
    return weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])


class NarrowToWide(torch.autograd.Function):
    """`relu(conv(x, weight) + bias + e)`, few channels to many; `e` is the map of a ring of ones under `edge_weight`.

    x (B, C, H, W), weight (O, C, k, k), bias (O,), edge_weight (O, 1, k, k) or None -> (B, O, H, W), channels last.
    Ring and bias are columns of the patches, so that one product yields the output and one all gradients of weights.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, edge_weight, relu, dilation):
        batch, _, height, width = x.shape
        ctx.has_edge, ctx.dilation = edge_weight is not None, dilation
        edge = [kernel_matrix(edge_weight)] if ctx.has_edge else []
        matrix = torch.cat((kernel_matrix(weight), *edge, bias[None]))
        y = NarrowToWide.columns(x, weight.shape[2], ctx.has_edge, dilation) @ matrix
        if relu:
            y.relu_()
        ctx.save_for_backward(x, weight, y if relu else None)
        return y.view(batch, height, width, -1).permute(0, 3, 1, 2)

    @staticmethod
    def columns(x, kernel_size, has_edge, dilation):
        columns = patches(x.permute(0, 2, 3, 1), kernel_size, dilation)
        ones = columns.new_ones(len(columns), 1)
        if not has_edge:
            return torch.cat((columns, ones), dim=1)
        ring = ring_patches(x, kernel_size, dilation)
        return torch.cat((columns, ring.expand(x.shape[0], -1, -1).reshape(len(columns), -1), ones), dim=1)

    @staticmethod
    def backward(ctx, grad):
        x, weight, rectified = ctx.saved_tensors
        out_channels, channels, k, _ = weight.shape
        rows = grad.permute(0, 2, 3, 1).reshape(-1, out_channels)
        if rectified is not None:
            rows = torch.ops.aten.threshold_backward(rows, rectified, 0)
        grad_matrix = NarrowToWide.columns(x, k, ctx.has_edge, ctx.dilation).T @ rows
        grad_weight = grad_matrix[: k * k * channels].view(k, k, channels, out_channels).permute(3, 2, 0, 1)
        grad_edge = grad_matrix[k * k * channels : -1].T.reshape(out_channels, 1, k, k) if ctx.has_edge else None
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad = rows.view(x.shape[0], *x.shape[2:], out_channels).permute(0, 3, 1, 2)
            grad_x = same_conv2d(grad, transposed(weight), None, ctx.dilation)
        return grad_x, grad_weight, grad_matrix[-1], grad_edge, None, None


class WideToNarrow(torch.autograd.Function):
    """`conv(x, weight) + bias`, many channels to few; x (B, C, H, W), weight (O, C, k, k) -> (B, O, H, W)."""

    @staticmethod
    def forward(ctx, x, weight, bias, dilation):
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return same_conv2d(x, weight, bias, dilation)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        out_channels, channels, k, _ = weight.shape
        x = x.permute(0, 2, 3, 1)
        columns = patches(grad.permute(0, 2, 3, 1), k, ctx.dilation)
        grad_x = (columns @ kernel_matrix(transposed(weight))).view(x.shape).permute(0, 3, 1, 2)
        grad_matrix = columns.T @ x.reshape(-1, channels)  # of the transposed kernel
        grad_weight = grad_matrix.view(k, k, out_channels, channels).permute(2, 3, 0, 1).flip(2, 3)
        return grad_x, grad_weight, grad.sum((0, 2, 3)), None


def use_patches(x: Tensor) -> bool:
    """Where the products of patches win: float32 or float64 on a CPU; not where torch.func needs plain operations."""
    if x.device.type != "cpu" or x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu"):
        return False
    return not in_torch_func()


def same_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int = 1) -> Tensor:
    return F.conv2d(x, weight, bias, padding=dilation * (weight.shape[2] // 2), dilation=dilation)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    edge_weight: Tensor | None = None,
    relu: bool = False,
    dilation: int = 1,
) -> Tensor:
    """Same-size convolution of (B, C, H, W) by an odd kernel, plus a ring of ones under `edge_weight` (O, 1, k, k).

    The ring is as wide as the padding; `relu` rectifies the result.
    """
    kernel_size = weight.shape[2]
    bias = weight.new_zeros(weight.shape[0]) if bias is None else bias
    if use_patches(x):
        if kernel_size > 1 and weight.shape[1] < weight.shape[0]:
            return NarrowToWide.apply(x, weight, bias, edge_weight, relu, dilation)
        if kernel_size == 1:
            return apply_channel_affine(x, weight[:, :, 0, 0], bias, relu)
        y = WideToNarrow.apply(x, weight, bias, dilation)
    else:
        y = same_conv2d(x, weight, bias, dilation)
    if edge_weight is not None:
        height, width = x.shape[2:]
        ring = ring_patches(x, kernel_size, dilation).to(edge_weight.dtype)
        y = y + (edge_weight.flatten(1) @ ring.T).view(1, -1, height, width)
    return F.relu(y, inplace=True) if relu else y

"""A dilated convolution over rows and columns, causal over rows, with one matrix product per row and column tap."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from flowsuite.core.numerics import at_least_float32, in_torch_func


def row_conv(x: Tensor, kernel: Tensor, dilation: tuple[int, int]) -> Tensor:
    """Output row r sees rows `r - 2 dh, r - dh, r`, and columns `-dw, 0, dw` beside its own; zeros beyond the borders.

    (B, R, C, W), (O, C, 3, 3) -> (B, R, O, W). With the channels inside the rows, three rows are one matrix (3C, W) in
    memory, wherever they begin, and shifting it by a column tap is an offset: nothing is copied but for the padding.
    The gradients are products of the same kind. On GPUs, and inside transforms of torch.func, a library's convolution
    does the same.
    """
    if x.device.type != "cpu" or in_torch_func():
        return _library_conv(x, kernel, dilation)
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, kernel = x.to(dtype), kernel.to(dtype)
    return _RowConv.apply(x, kernel, dilation)


def _library_conv(x: Tensor, kernel: Tensor, dilation: tuple[int, int]) -> Tensor:
    over_rows, over_columns = dilation
    image = F.pad(x.transpose(1, 2), (over_columns, over_columns, 2 * over_rows, 0))
    return F.conv2d(image, kernel, dilation=dilation).transpose(1, 2)


class _RowConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, kernel, dilation):
        over_rows, reach = dilation
        ctx.reach, ctx.over_rows, ctx.rows = reach, over_rows, x.shape[1]
        padded = _padded(_grouped(x, over_rows), reach, above=2)
        ctx.save_for_backward(padded, kernel)
        return _ungrouped(_products(padded, _tap_matrices(kernel), reach), over_rows, ctx.rows)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        padded, kernel = ctx.saved_tensors
        reach = ctx.reach
        grad = _grouped(grad, ctx.over_rows)
        grad_x = grad_kernel = None
        if ctx.needs_input_grad[0]:
            beyond = _padded(grad, reach, below=2)
            turned = kernel.flip(2, 3).transpose(0, 1)
            grad_x = _ungrouped(_products(beyond, _tap_matrices(turned), reach), ctx.over_rows, ctx.rows)
        if ctx.needs_input_grad[1]:
            grad_kernel = _kernel_gradient(grad, padded, reach)
        return grad_x, grad_kernel, None


def _padded(x: Tensor, reach: int, above: int = 0, below: int = 0) -> Tensor:
    """With zeros around; contiguous, which padding alone leaves open where an axis has size 1."""
    return F.pad(x, (reach, reach, 0, 0, above, below)).contiguous()


def _grouped(x: Tensor, over_rows: int) -> Tensor:
    """Rows that are `over_rows` apart side by side: (B, R, C, W) -> (B * over_rows, ceil(R / over_rows), C, W)."""
    if over_rows == 1:
        return x
    x = F.pad(x, (0, 0, 0, 0, 0, -x.shape[1] % over_rows))
    return x.unflatten(1, (-1, over_rows)).transpose(1, 2).flatten(0, 1)


def _ungrouped(x: Tensor, over_rows: int, rows: int) -> Tensor:
    if over_rows == 1:
        return x
    return x.unflatten(0, (-1, over_rows)).transpose(1, 2).flatten(1, 2)[:, :rows]


def _tap_matrices(kernel: Tensor) -> Tensor:
    """(O, C, 3, 3) as one matrix (O, 3C) per column tap, oldest row first: (3, O, 3C)."""
    return kernel.permute(3, 0, 2, 1).flatten(2)


def _windows(image: Tensor) -> Tensor:
    """All runs of three rows of (R + 2, C, P), as a view (R, 3C, P)."""
    return image.unfold(0, 3, 1).movedim(-1, 1).flatten(1, 2)


def _products(padded: Tensor, taps: Tensor, reach: int) -> Tensor:
    """Sum over the taps of `taps[k] @ windows`, shifted: (N, R + 2, C, W + 2 reach), (3, O, 3C) -> (N, R, O, W)."""
    n, rows, _, pitch = padded.shape
    width = pitch - 2 * reach
    out = padded.new_empty(n, rows - 2, taps.shape[1], width)
    for image, result in zip(padded, out, strict=True):
        windows = _windows(image)
        matrices = taps.unsqueeze(1).expand(-1, rows - 2, -1, -1)
        torch.bmm(matrices[0], windows[..., :width], out=result)
        for k in (1, 2):
            result.baddbmm_(matrices[k], windows[..., k * reach : k * reach + width])
    return out


def _kernel_gradient(grad: Tensor, padded: Tensor, reach: int) -> Tensor:
    """(N, R, O, W) and the padded input -> (O, C, 3, 3)."""
    width, channels = grad.shape[3], padded.shape[2]
    taps = at_least_float32(grad.new_zeros(3, grad.shape[2], 3 * channels))
    for image, gradients in zip(padded, grad, strict=True):
        windows = _windows(image)
        for k in range(3):
            products = torch.bmm(gradients, windows[..., k * reach : k * reach + width].mT)
            taps[k] += products.sum(0, dtype=taps.dtype)
    return taps.unflatten(2, (3, channels)).permute(1, 3, 2, 0)

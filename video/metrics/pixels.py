"""PSNR and the two dialects of SSIM that tables of video prediction are written in."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

PEAK = 255.0
GAUSSIAN_SIZE, GAUSSIAN_SIGMA = 11, 1.5
UNIFORM_SIZE = 7
# Figures far above this one are of frames that are equal: PSNR would be infinite, and no mean would be left.
HIGHEST_PSNR = 100.0


def psnr(truth: Tensor, frames: Tensor) -> Tensor:
    """`10 log10(255^2 / MSE)` in dB, MSE over channels and pixels: (..., C, H, W) uint8 -> (...); at most 100.

    The leading axes broadcast.
    """
    truth, frames = as_pair(truth, frames, 1)
    return decibels((frames - truth).square().mean((-3, -2, -1)) / PEAK**2)


def psnr_per_channel(truth: Tensor, frames: Tensor) -> Tensor:
    """The mean over channels of the PSNR of each, as in the tables of SVG and its followers, in dB, at most 100."""
    truth, frames = as_pair(truth, frames, 1)
    return decibels((frames - truth).square().mean((-2, -1)) / PEAK**2).mean(-1)


def decibels(error: Tensor) -> Tensor:
    return -10 * torch.log10(error.clamp_min(10 ** (-HIGHEST_PSNR / 10)))


def ssim_gaussian(truth: Tensor, frames: Tensor) -> Tensor:
    """The structural similarity of `tf.image.ssim`, as VideoFlow reports it: (..., C, H, W) uint8 -> (...).

    An 11x11 Gaussian window of sigma 1.5, only windows inside the picture, K1 = 0.01, K2 = 0.03, range 255, biased
    covariances; the mean over positions, then channels (Wang et al. 2004). The leading axes broadcast.
    """
    offsets = torch.arange(GAUSSIAN_SIZE, dtype=torch.float64) - GAUSSIAN_SIZE // 2
    window = torch.softmax(-offsets.square() / (2 * GAUSSIAN_SIGMA**2), 0)
    return similarity(truth, frames, window, PEAK, 1.0)


def ssim_uniform_range2(truth: Tensor, frames: Tensor) -> Tensor:
    """The structural similarity in the tables of SVG and its followers: (..., C, H, W) uint8 -> (...).

    That of an old scikit-image on frames in [0, 1]: 7x7 uniform windows inside the picture, sample covariances, and the
    range taken for 2, which inflates the value. It does not compare with `ssim_gaussian`. The leading axes broadcast.
    """
    count = UNIFORM_SIZE**2
    window = torch.full((UNIFORM_SIZE,), 1 / UNIFORM_SIZE, dtype=torch.float64)
    return similarity(truth, frames, window, 2 * PEAK, count / (count - 1))


def similarity(truth: Tensor, frames: Tensor, window: Tensor, span: float, correction: float) -> Tensor:
    """`(2 m_x m_y + c1) (2 s_xy + c2) / ((m_x^2 + m_y^2 + c1) (s_x^2 + s_y^2 + c2))`, mean over positions and channels.

    Args:
        truth, frames: (..., C, H, W), leading axes broadcast.
        window: (K,) weights of one axis.
        span: range of the values.
        correction: factor on (co)variances.
    """
    x, y = as_pair(truth, frames, len(window))
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    window = window.to(x)
    # Covariances are the same after a shift, and in float32 much nearer to the truth.
    x, y = x - PEAK / 2, y - PEAK / 2
    mean_x, mean_y = smooth(x, window), smooth(y, window)
    variances = correction * (smooth(x * x, window) - mean_x**2 + smooth(y * y, window) - mean_y**2)
    covariance = correction * (smooth(x * y, window) - mean_x * mean_y)
    mean_x, mean_y = mean_x + PEAK / 2, mean_y + PEAK / 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * (2 * covariance + c2) / (variances + c2)).mean((-3, -2, -1))


def smooth(x: Tensor, window: Tensor) -> Tensor:
    """Weighted means of (..., H, W) over square windows inside the picture."""
    flat = x.reshape(-1, 1, *x.shape[-2:])
    flat = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return flat.view(*x.shape[:-2], *flat.shape[-2:])


def as_pair(truth: Tensor, frames: Tensor, smallest: int) -> tuple[Tensor, Tensor]:
    """Both in floating point: float32, or what one of them is in.

    Raises:
        ValueError: they are not of one kind, or smaller than the window.
    """
    if truth.shape[-3:] != frames.shape[-3:] or truth.ndim < 3:
        raise ValueError(f"expected frames (..., C, H, W) of one size, got {tuple(truth.shape)}, {tuple(frames.shape)}")
    if min(truth.shape[-2:]) < smallest:
        raise ValueError(f"expected frames of at least {smallest}x{smallest}, got {tuple(truth.shape[-2:])}")
    dtype = torch.promote_types(torch.promote_types(truth.dtype, frames.dtype), torch.float32)
    return truth.to(dtype), frames.to(dtype)


# name -> (heading, function); higher is better in all of them
FRAME_METRICS: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "psnr": ("PSNR dB", psnr),
    "ssim_gaussian": ("SSIM (11x11 Gaussian)", ssim_gaussian),
    "psnr_per_channel": ("PSNR per channel dB (SVG tables)", psnr_per_channel),
    "ssim_uniform_range2": ("SSIM (7x7 uniform, range 2; SVG tables)", ssim_uniform_range2),
}


def frame_metrics(truth: Tensor) -> list[str]:
    """Those that frames of this size are large enough for."""
    large = min(truth.shape[-2:]) >= GAUSSIAN_SIZE
    return [name for name in FRAME_METRICS if large or name.startswith("psnr")]

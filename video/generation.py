"""Continuations of given frames, and what a test measures of a few of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flowsuite.video.metrics.best_of_n import best_of_n
from flowsuite.video.metrics.diversity import pixel_diversity
from flowsuite.video.metrics.pixels import FRAME_METRICS, frame_metrics
from flowsuite.video.metrics.shapes import SHAPE_FRAME, shape_report

if TYPE_CHECKING:
    from flowsuite.video.module import VideoModule


@torch.no_grad()
def sample_videos(
    module: VideoModule,
    context: Tensor,
    frames: int,
    samples: int,
    temperature: float | list[float],
    generator: torch.Generator | None = None,
    at_once: int = 64,
) -> Tensor:
    """Continuations (B, N, frames, C, H, W) uint8 of given frames (B, K, C, H, W) uint8, on the CPU.

    Args:
        at_once: videos that are generated together.
    """
    x = module.dequantize(context.to(module.device), generator)
    several = max(1, at_once // len(x))
    parts = [
        module.quantize(module.flow.sample(x, frames, min(several, samples - n), temperature, generator)).cpu()
        for n in range(0, samples, several)
    ]
    return torch.cat(parts, 1)


def sample_figures(module: VideoModule, frames: Tensor, samples: int, moving: bool) -> dict[str, Tensor]:
    """Best and mean of continuations of the first frames of (B, T, C, H, W) uint8, their diversity, and directions hit.

    Args:
        module: its `context_frames` are given, its `temperature` is that of the samples.
        frames: true videos.
        samples: continuations of each.
        moving: the videos are of moving shapes, whose directions are measured.
    """
    given = module.context_frames
    context, truth = frames[:, :given].cpu(), frames[:, given:].cpu()
    found = sample_videos(module, context, truth.shape[1], samples, module.temperature)
    figures = {}
    for name in ("psnr", "ssim_gaussian"):
        if name in frame_metrics(truth):
            curves = best_of_n(FRAME_METRICS[name][1](truth, found.transpose(0, 1)))
            figures |= {f"{name}_best": curves.best.mean(), f"{name}_mean": curves.mean.mean()}
    if samples > 1:
        figures["pixel_diversity"] = pixel_diversity(found).mean()
    if moving and given <= SHAPE_FRAME:
        last = min(truth.shape[1] - 1, SHAPE_FRAME - given)
        report = shape_report(context[:, -1], found[:, :, last])
        figures |= {"directions_hit": torch.tensor(8 * report.coverage), "shapes_kept": torch.tensor(report.all_kept)}
    return {name: value.to(module.device) for name, value in figures.items()}

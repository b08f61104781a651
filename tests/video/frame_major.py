"""The order of the published sampler, written down again: frame after frame, all levels of each, no states kept."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.video.sampler import Noise
from flowsuite.video.videoflow import VideoFlow


@torch.no_grad()
def sample_frame_major(flow: VideoFlow, context: Tensor, noise: Noise, temperatures: list[float]) -> Tensor:
    """New frames (B, T, C, H, W) after context (B, K, C, H, W)."""
    latents, above, _ = flow.encode_with_above(context)
    frames = []
    for t in range(noise.eps[0].shape[1]):
        over, drawn, upper = None, [None] * flow.levels, [None] * flow.levels
        for level in range(flow.levels - 1, -1, -1):
            prior, eps = flow.priors[level], noise.eps[level][:, t]
            # The whole history once more, with a placeholder for the frame that is wanted.
            past = torch.cat((latents[level], torch.zeros_like(eps).unsqueeze(1)), dim=1)
            seen = None if over is None else torch.cat((above[level], over.unsqueeze(1)), dim=1)
            (prediction,) = prior.predict(past, seen, past.shape[1] - 1)
            drawn[level] = prediction.draw(eps.unsqueeze(1), temperatures[level], noise.uniform[level][:, t : t + 1])[
                :, 0
            ]
            upper[level] = over
            over = flow.frames.invert_level(level, drawn[level], over)
        frames.append(over)
        latents = [torch.cat((z, new.unsqueeze(1)), dim=1) for z, new in zip(latents, drawn, strict=True)]
        above = [
            None if h is None else torch.cat((h, new.unsqueeze(1)), dim=1) for h, new in zip(above, upper, strict=True)
        ]
    return torch.stack(frames, dim=1)

"""Small VideoFlows with random weights, so that every path matters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flowsuite.video.videoflow import VideoFlow

SHAPE = (2, 8, 8)
PRIORS = {
    "window3": {"prior": "window", "past": 3, "dilated": True},
    "window2-relu": {"prior": "window", "past": 2, "prior_activation": "relu", "skip": False},
    "window1": {"prior": "window", "past": 1, "prior_blocks": 1},
    "causal": {"prior": "causal"},
    "causal-mixture": {"prior": "causal", "mixture": [1, 3], "compand": 0.33},
    "causal-motion-mixture": {"prior": "causal", "reach": [5, 3]},
    "window-mixture": {"prior": "window", "past": 2, "mixture": 2},
}
every_prior = pytest.mark.parametrize("prior", PRIORS)


def tiny(prior: str, dtype: torch.dtype = torch.float64, **changes) -> VideoFlow:
    """Two levels of two steps on frames (2, 8, 8), initialised by data, then shaken."""
    torch.manual_seed(0)
    sizes = {"levels": 2, "steps": 2, "width": 6, "prior_blocks": 2, "prior_width": 6}
    flow = VideoFlow(SHAPE, **{**sizes, **PRIORS[prior], **changes})
    flow.initialize(clips(4, 5, torch.float32))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return flow.to(dtype).eval()


def clips(batch: int = 2, frames: int = 5, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    """(B, T, 2, 8, 8) in [-0.5, 0.5)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, frames, *SHAPE, generator=generator, dtype=dtype) - 0.5

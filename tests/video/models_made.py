"""Small VideoFlows with random weights, as checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch

from flowsuite.core.training.checkpoint import build_module, save_module
from flowsuite.video.data import MovingShapes
from flowsuite.video.module import VideoModule

SHAPES = '{"pixels": 16, "clip_frames": 6, "test_videos": 5}'


def make_module(size: int = 16, channels: int = 3, train_context: int | None = None, **flow) -> VideoModule:
    """A model of two levels that has seen a batch of moving shapes, one frame given and two to predict."""
    arguments = {"video_shape": [channels, size, size], "levels": 2, "steps": 1, "width": 8, "prior": "causal"}
    arguments |= {"prior_blocks": 1, "prior_width": 8, "past": 1, **flow}
    module_arguments = {"context_frames": 1, "num_frames": 3, "train_context": train_context}
    described = {"class_path": "flowsuite.video.videoflow.VideoFlow", "init_args": arguments}
    torch.manual_seed(0)
    module = build_module("flowsuite.video.module.VideoModule", {"flow": described, **module_arguments})
    frames = MovingShapes(pixels=size).dataset("train").__getitems__(range(16)).frames[:, :, :channels]
    module.flow.initialize(module.dequantize(frames))
    with torch.no_grad():
        for name, weight in module.flow.named_parameters():
            if weight.ndim > 1 and not weight.any():
                torch.nn.init.normal_(weight, std=0.01)
            del name
    return module.eval()


def write_checkpoint(path: Path, **arguments) -> str:
    save_module(path, make_module(**arguments))
    return str(path)

"""The invertible map of single frames that all frames of a video share (VideoFlow, arXiv 1903.01434, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.core.layers.compand import Compand
from flowsuite.core.layers.flow_step import FlowSteps
from flowsuite.core.layers.glow_step import glow_step
from flowsuite.core.layers.multiscale import MultiScale
from flowsuite.core.layers.split import Split
from flowsuite.core.layers.squeeze import Squeeze2d
from flowsuite.core.transform import Compose


class FrameFlow(MultiScale):
    """Levels of squeeze, flow steps and split, from a frame (C, H, W) to latents z^(0), ..., z^(L-1), finest first.

    A split sends the first half of the channels on (`above`, what the next level is a function of) and leaves the
    second as z^(l). The priors of the latents are elsewhere: here they are not standardised.

    Args:
        video_shape: (C, H, W) of a frame; H and W divisible by 2**levels.
        levels, steps, width: L, flow steps a level, hidden channels of the coupling nets.
        coupling: "affine" (scale `sigmoid(o + 2)`) or "additive".
        activation: of the coupling nets, "gatu" or "relu".
        scale: scale map of affine couplings, as for `Glow`.
        reversible: train with activation memory that does not grow with `steps`.
        compand: power of the `Compand` of pixel values that comes first; 0 for none.
    """

    def __init__(
        self,
        video_shape: tuple[int, int, int],
        levels: int,
        steps: int,
        width: int,
        coupling: str = "affine",
        activation: str = "gatu",
        scale: str = "sigmoid",
        reversible: bool = False,
        compand: float = 0.0,
    ):
        channels, height, width_ = video_shape
        blocks, shapes = [], []
        for level in range(levels):
            channels, height, width_ = 4 * channels, height // 2, width_ // 2
            made = [
                glow_step(channels, width, coupling, "conv1x1_lu", scale, activation=activation) for _ in range(steps)
            ]
            blocks.append(Compose([Squeeze2d(), FlowSteps(made, reversible)]))
            channels = channels // 2 if level < levels - 1 else channels
            shapes.append((channels, height, width_))
        if compand:
            blocks[0] = Compose([Compand(power=compand), *blocks[0]])
        super().__init__(blocks, [Split() for _ in range(levels - 1)], shapes)

    def encode_levels(self, x: Tensor) -> tuple[list[Tensor], list[Tensor | None], Tensor]:
        """`(z, above, ladj)` of frames (N, C, H, W): by level (N, c, h, w), finest first, and (N,).

        `above[l]` is what of level l went on to the next, of the shape of `z[l]`; None at the top.
        """
        latents, above, total = [], [], 0.0
        for level, block in enumerate(self.levels):
            x, ladj = block(x)
            total = total + ladj
            if level < len(self.splits):
                x, z, _ = self.splits[level](x)
                latents.append(z)
                above.append(x)
            else:
                latents.append(x)
                above.append(None)
        return latents, above, total

    def invert_level(self, level: int, z: Tensor, above: Tensor | None) -> Tensor:
        """The input of a level, which is the `above` of the finer one, or the frames at level 0."""
        return self.levels[level].generate(z if above is None else torch.cat((above, z), dim=1))

    def decode_levels(self, latents: list[Tensor]) -> Tensor:
        """Frames (N, C, H, W) of their latents."""
        x = None
        for level in range(len(self.levels) - 1, -1, -1):
            x = self.invert_level(level, latents[level], x)
        return x

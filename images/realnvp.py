"""RealNVP: density estimation using real-valued non-volume-preserving maps (Dinh et al. 2017, arXiv 1605.08803)."""

from __future__ import annotations

import torch
from torch import nn

from flowsuite.core.layers.elementwise import Additive, Affine
from flowsuite.core.layers.logit import Logit
from flowsuite.core.layers.multiscale import MultiScale
from flowsuite.core.layers.permute import Permutation
from flowsuite.core.layers.scale import LearnedTanhScale, make_scale
from flowsuite.core.layers.split import Split
from flowsuite.core.layers.squeeze import ORDERED_CELLS, Squeeze2d
from flowsuite.core.nets.resnet import WeightNormConv2d
from flowsuite.core.transform import Compose, Transform
from flowsuite.images.flow import ImageFlow, check_divisible
from flowsuite.images.realnvp_coupling import ChannelCoupling, CheckerboardCoupling


class RealNVP(ImageFlow):
    """The published RealNVP: logit, then `n_scales` times checkerboard couplings, channel couplings and split.

    Scale i of an image (C, H, W): three checkerboard couplings with nets of width `base_dim * 2**i`; unless it is the
    last, squeeze 2x2, three channel couplings with nets twice as wide, and half of the dimensions leave, the
    anti-diagonal of every 2x2 cell, so that a checkerboard means the same at the next scale (2C, H/2, W/2). The last
    scale has a fourth checkerboard coupling. A coupling is `y = (x + t) exp(s tanh(l))` on what it changes, `t` and `l`
    from its own `ResNet` and `s` one learned number, followed by batch norm on what it changed, whose log-det counts.

    With batch norm, training mode uses the statistics of the batch (that of all ranks under DDP), so its likelihoods
    depend on the rest of the batch and it can't decode; evaluation mode uses running averages.

    Args:
        image_shape: (C, H, W); H and W must be divisible by 2**(n_scales - 1).
        n_scales: number of scales.
        base_dim: width of the nets at the first scale.
        residual_blocks: blocks of each net.
        batch_norm: batch norm in the nets and after every coupling; without it the log-scale has a learned offset.
        skip: the nets' heads read a sum over all blocks.
        bottleneck: 1x1, 3x3, 1x1 residual blocks instead of two 3x3.
        coupling: "affine"; "additive" makes the first two of every three couplings additive (published: `use_aff=0`).
        scale: "learned_tanh" (published), or a scale map of `flowsuite.core.layers.scale` such as "tanh", whose slope
            and bound are fixed, or "bounded_sigmoid".
        bn_lag: weight of the batch in the statistics that training normalises with, the rest being the running
            averages; 0 for the batch alone (see `MovingMoments`).
        alpha: pixels are squeezed into [alpha, 1 - alpha] before the logit.
        n_bits: depth of the modelled pixels.

    Shapes: images (N, C, H, W) uint8; latents (N, C*H*W), standard normal: `body.unflatten` gives them by scale.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (3, 32, 32),
        n_scales: int = 4,
        base_dim: int = 32,
        residual_blocks: int = 4,
        batch_norm: bool = True,
        skip: bool = True,
        bottleneck: bool = False,
        coupling: str = "affine",
        scale: str = "learned_tanh",
        bn_lag: float = 0.0,
        alpha: float = 0.05,
        n_bits: int = 8,
    ):
        if n_scales < 1:
            raise ValueError(f"n_scales must be at least 1, got {n_scales}")
        check_divisible(image_shape, n_scales - 1, "RealNVP")
        if coupling not in ("affine", "additive"):
            raise ValueError(f'coupling must be "affine" or "additive", got {coupling!r}')
        common = {
            "batch_norm": batch_norm,
            "lag": bn_lag,
            "blocks": residual_blocks,
            "skip": skip,
            "bottleneck": bottleneck,
        }

        def scale_map(additive: bool, initial: float) -> Additive | Affine:
            if additive:
                return Additive()
            if scale == "learned_tanh":
                return Affine(LearnedTanhScale(initial, learn_offset=not batch_norm))
            return Affine(make_scale(scale))

        def checkerboards(shape: tuple[int, int, int], width: int, count: int) -> list[Transform]:
            return [
                CheckerboardCoupling(
                    shape, scale_map(coupling == "additive" and k < 2, 0.0), parity=(k + 1) % 2, width=width, **common
                )
                for k in range(count)
            ]

        def channelwise(channels: int, width: int) -> list[Transform]:
            return [
                ChannelCoupling(
                    channels, scale_map(coupling == "additive" and k < 2, 1.0), swap=k == 1, width=width, **common
                )
                for k in range(3)
            ]

        levels, shapes = [], []
        channels, height, width = image_shape
        for i in range(n_scales):
            dim, shape = base_dim * 2**i, (channels, height, width)
            if i == n_scales - 1:
                levels.append(Compose(checkerboards(shape, dim, 4)))
                shapes.append(shape)
                break
            levels.append(
                Compose(
                    [
                        *checkerboards(shape, dim, 3),
                        Squeeze2d(),
                        *channelwise(4 * channels, 2 * dim),
                        reorder_cells(channels),
                    ]
                )
            )
            channels, height, width = 2 * channels, height // 2, width // 2
            shapes.append((channels, height, width))
        body = MultiScale(levels, [Split() for _ in range(n_scales - 1)], shapes)
        super().__init__(image_shape, n_bits, preprocess=Logit(alpha), body=body)

    def penalized_parameters(self) -> list[nn.Parameter]:
        """What the published training penalises: magnitudes of weight norm and scales of checkerboard couplings."""
        found = []
        for module in self.modules():
            if isinstance(module, WeightNormConv2d) and module.magnitude is not None:
                found.append(module.magnitude)
            elif isinstance(module, CheckerboardCoupling):
                found += [scale.scale for scale in module.map.modules() if isinstance(scale, LearnedTanhScale)]
        return found


def reorder_cells(channels: int) -> Permutation:
    """From the plain squeeze of C channels to the checkerboard one: the same as unsqueezing and squeezing again.

    Channel `4c + 2i + j` goes to `k C + c`, with `k` the rank of offset (i, j) in `ORDERED_CELLS`.
    """
    return Permutation(torch.tensor([4 * c + 2 * i + j for i, j in ORDERED_CELLS for c in range(channels)]))

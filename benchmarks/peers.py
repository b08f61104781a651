"""The same Glow in nflows and normflows: plain 1x1 convolutions, affine couplings, nets 3x3-1x1-3x3 with ReLU."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Size:
    """Image size, levels, steps per level, width of the coupling nets, batch."""

    image: int
    levels: int
    steps: int
    width: int
    batch: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, self.image, self.image)

    def __str__(self) -> str:
        return f"{self.image}x{self.image}x3, L{self.levels} K{self.steps} width {self.width}, batch {self.batch}"


class CouplingNet(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, out_channels, 3, padding=1),
        )
        nn.init.zeros_(self.body[-1].weight)
        nn.init.zeros_(self.body[-1].bias)

    def forward(self, x, context=None):
        return self.body(x)


def nflows_glow(size: Size) -> nn.Module:
    from nflows import distributions, flows, transforms

    channels, side = 3, size.image
    multiscale = transforms.MultiscaleCompositeTransform(num_transforms=size.levels)
    for level in range(size.levels):
        channels, side = 4 * channels, side // 2
        steps: list[nn.Module] = [transforms.SqueezeTransform()]
        for _ in range(size.steps):
            mask = torch.ones(channels)
            mask[channels // 2 :] = -1
            steps += [
                transforms.ActNorm(channels),
                transforms.OneByOneConvolution(channels),
                transforms.AffineCouplingTransform(mask, lambda i, o: CouplingNet(i, o, size.width)),
            ]
        shape = multiscale.add_transform(transforms.CompositeTransform(steps), (channels, side, side))
        if level < size.levels - 1:
            channels = shape[0]
    return flows.Flow(multiscale, distributions.StandardNormal([3 * size.image**2]))


def normflows_glow(size: Size) -> nn.Module:
    import normflows as nf

    bases, merges, flows = [], [], []
    for i in range(size.levels):
        channels = 3 * 2 ** (size.levels + 1 - i)
        with contextlib.redirect_stdout(io.StringIO()):
            blocks = [
                nf.flows.GlowBlock(channels, size.width, split_mode="channel", scale=True) for _ in range(size.steps)
            ]
        flows.append([*blocks, nf.flows.Squeeze()])
        side = size.image // 2 ** (size.levels - i)
        if i > 0:
            merges.append(nf.flows.Merge())
            bases.append(nf.distributions.DiagGaussian((channels // 2, side, side)))
        else:
            bases.append(nf.distributions.DiagGaussian((channels, side, side)))
    return nf.MultiscaleFlow(bases, flows, merges)

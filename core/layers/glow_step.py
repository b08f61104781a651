"""Glow's step of flow, built from its published choices: what image and video flows share."""

from __future__ import annotations

from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.layers.channel_affine import ChannelAffine
from flowsuite.core.layers.conv1x1 import InvertibleConv1x1, InvertibleConv1x1LU
from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.layers.elementwise import Additive, Affine
from flowsuite.core.layers.flow_step import FlowStep
from flowsuite.core.layers.permute import Permutation
from flowsuite.core.layers.scale import make_scale
from flowsuite.core.nets.conv import GlowNet

PERMUTATIONS = ("conv1x1", "conv1x1_lu", "shuffle", "reverse")


def glow_step(
    channels: int,
    width: int,
    coupling: str = "affine",
    permutation: str = "conv1x1",
    scale: str = "sigmoid",
    convention: str = "official",
    activation: str = "relu",
) -> FlowStep:
    """Actnorm, channel mixing, coupling (arXiv 1807.03039) on `channels` channels, with a net of `width`.

    Args:
        coupling: "affine" or "additive".
        permutation: "conv1x1", "conv1x1_lu", "shuffle" or "reverse".
        scale: scale map of affine couplings (`make_scale`).
        convention: "official" (openai/glow) or "port" (rosinality/glow-pytorch).
        activation: of the net, "relu" or "gatu".
    """
    if coupling not in ("affine", "additive"):
        raise ValueError(f'coupling must be "affine" or "additive", got {coupling!r}')
    elementwise = Affine(make_scale(scale)) if coupling == "affine" else Additive()
    net = GlowNet(channels // 2, channels // 2 * elementwise.n_params, width, convention, activation)
    return FlowStep(
        _actnorm(channels, convention), _mixer(channels, permutation, convention), Coupling(net, elementwise)
    )


def _actnorm(channels: int, convention: str) -> ActNorm:
    if convention == "official":
        return ActNorm(channels)
    return ActNorm(channels, parameterization="scale", unbiased=True)


def _mixer(channels: int, kind: str, convention: str) -> ChannelAffine:
    if kind == "conv1x1_lu":
        return InvertibleConv1x1LU(channels, row_vector=convention == "official")
    makers = {"conv1x1": InvertibleConv1x1, "shuffle": Permutation.shuffle, "reverse": Permutation.reverse}
    return makers[kind](channels)

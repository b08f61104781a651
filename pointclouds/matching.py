"""Flow matching for the two levels of PointFlow."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.core.matching import FlowMatching, decode_with, split_at_cnf
from flowsuite.pointclouds.pointflow import PointFlow, subset


def point_matching_loss(
    flow: PointFlow, matching: FlowMatching, x: Tensor, z: Tensor, points: int | None = None, times: int = 1
) -> Tensor:
    """`E |v(tau, x_tau; z) - u|^2 / 3` for points given their shape's code, a scalar; gradients reach field and code.

    Args:
        flow: with one block at the point level.
        matching: path and its width.
        x: normalised clouds (B, N, 3).
        z: codes (B, zdim).
        points: take so many random points of each shape; all if None.
        times: the points of a shape are dealt into so many groups, each with its own time: less noise at no cost.
    """
    x, _ = subset(x, points)
    if not 0 < times <= x.shape[1]:
        raise ValueError(f"times must be between 1 and the number of points, {x.shape[1]}, got {times}")
    x, _ = subset(x, x.shape[1] // times * times)
    x, noise = flow.soften(x)
    context = flow.condition(z, noise).repeat_interleave(times, 0)
    x = x.reshape(len(x) * times, -1, 3)
    before, cnf, after = split_at_cnf(flow.point_cnf)
    with torch.no_grad():
        for layer in before:
            x = layer(x)[0]
        y = flow.point_cnf.draw(len(x), x.shape[1])
        for layer in reversed(after):
            y = decode_with(layer, y, None)
    return matching.cnf_loss(cnf, x, y.to(x), context)


def code_matching_loss(flow: PointFlow, matching: FlowMatching, z: Tensor, times: int = 1) -> Tensor:
    """`E |v(tau, z_tau) - u|^2 / zdim` of the latent flow, a scalar; no gradient reaches the codes.

    Codes are targets here: they would make themselves easy to predict, all alike, if they felt this loss. Each is taken
    at so many `times`, with as many draws of noise.
    """
    return matching.flow_loss(flow.latent, z.detach().repeat_interleave(times, 0))

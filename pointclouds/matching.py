"""Flow matching for the two levels of PointFlow."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flowsuite.core.matching import FlowMatching, decode_with, split_at_cnf
from flowsuite.core.pairing import pair_noise
from flowsuite.pointclouds.pointflow import PointFlow, subset


def point_matching_loss(
    flow: PointFlow, matching: FlowMatching, x: Tensor, z: Tensor, points: int | None = None, times: int = 1
) -> Tensor:
    """`E |v(tau, x_tau; z) - u|^2 / 3` for points given their shape's code, a scalar; gradients reach field and code.

    Args:
        flow: with one block at the point level.
        matching: path, its width and the pairing: "optimal" is that of all points of a shape with as much noise.
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
    y = pair_within(y.to(x), x, times, matching.pairing)
    return replace(matching, pairing="independent").cnf_loss(cnf, x, y, context)


def pair_within(noise: Tensor, x: Tensor, times: int, pairing: str) -> Tensor:
    """`noise` (B * times, n, 3) paired with the points `x`, over the `times * n` points of each of B shapes.

    Within a shape the noise stays independent of the code, so that the pairing is right for a conditional field. The
    assignments are found on the host, one shape after another, in about 10 ms for 512 points.
    """
    if pairing == "independent":
        return noise
    clouds = (value.unflatten(0, (-1, times)).flatten(1, 2) for value in (noise, x))
    paired = [pair_noise(one, points, pairing) for one, points in zip(*clouds, strict=True)]
    return torch.stack(paired).view_as(noise)


def code_matching_loss(flow: PointFlow, matching: FlowMatching, z: Tensor, times: int = 1) -> Tensor:
    """`E |v(tau, z_tau) - u|^2 / zdim` of the latent flow, a scalar; no gradient reaches the codes.

    Codes are targets here: they would make themselves easy to predict, all alike, if they felt this loss. Each is taken
    at so many `times`, with as many draws of noise.
    """
    return matching.flow_loss(flow.latent, z.detach().repeat_interleave(times, 0))

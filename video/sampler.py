"""Level-major sampling: level by level the whole sequence of latents, every inversion batched over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from flowsuite.video.videoflow import VideoFlow


@dataclass
class Noise:
    """What samples are made of, by level (finest first), for N videos of T new frames.

    Attributes:
        eps: standard normal, (N, T, c, h, w) each.
        uniform: in [0, 1), (N, T) each: they choose the components of mixtures.
    """

    eps: list[Tensor]
    uniform: list[Tensor]


def draw_noise(flow: VideoFlow, n: int, frames: int, generator: torch.Generator | None) -> Noise:
    like = flow.base.anchor
    options = {"generator": generator, "device": like.device, "dtype": like.dtype}
    eps = [torch.randn(n, frames, *shape, **options) for shape in flow.frames.shapes]
    return Noise(eps, [torch.rand(n, frames, **options) for _ in eps])


def sample_latents(
    flow: VideoFlow,
    context: Tensor,
    num_frames: int,
    copies: int,
    temperatures: list[float],
    generator: torch.Generator | None = None,
    lengths: Tensor | None = None,
    noise: Noise | None = None,
) -> Tensor:
    """New frames (B * copies, num_frames, C, H, W) after context (B, K, C, H, W)."""
    batch, longest = context.shape[:2]
    lengths = check_lengths(lengths, batch, longest, context.device)
    common = longest if lengths is None else int(lengths.min())
    steps = longest - common + num_frames
    noise = noise or draw_noise(flow, batch * copies, steps, generator)
    check_noise(flow, noise, batch * copies, steps)
    latents, above, _ = flow.encode_with_above(context)
    known = None if lengths is None else lengths.repeat_interleave(copies) - common
    over = None  # of the new frames, (B * copies, steps, ...)
    for level in range(flow.levels - 1, -1, -1):
        given, h = latents[level], above[level]
        state = flow.priors[level].start(given[:, :common], None if h is None else h[:, :common], copies)
        ragged = given[:, common:].repeat_interleave(copies, dim=0)
        z = sample_level(flow.priors[level], state, over, noise, level, temperatures[level], ragged, known)
        flat = flow.frames.invert_level(level, z.flatten(0, 1), None if over is None else over.flatten(0, 1))
        over = flat.unflatten(0, z.shape[:2])
    if known is None:
        return over
    index = known.unsqueeze(1) + torch.arange(num_frames, device=over.device)
    return over.gather(1, index[:, :, None, None, None].expand(-1, -1, *over.shape[2:]))


def sample_level(prior, state, over, noise, level, temperature, ragged, known) -> Tensor:
    """The latents of all new frames of one level, one after another; those that are given stay as they are."""
    condition, found = prior.condition(over), []
    eps, uniform = noise.eps[level], noise.uniform[level]
    for i in range(eps.shape[1]):
        z = prior.step(state, condition, i, eps[:, i]).draw(eps[:, i], temperature, uniform[:, i])
        if i < ragged.shape[1]:
            z = torch.where((i < known)[:, None, None, None], ragged[:, i], z)
        prior.push(state, z)
        found.append(z)
    return torch.stack(found, dim=1)


def check_lengths(lengths: Tensor | None, batch: int, longest: int, device: torch.device) -> Tensor | None:
    if lengths is None:
        return None
    lengths = torch.as_tensor(lengths, device=device)
    if tuple(lengths.shape) != (batch,) or lengths.is_floating_point():
        raise ValueError(f"lengths must be {batch} integers, got {lengths.dtype} of shape {tuple(lengths.shape)}")
    if int(lengths.min()) < 0 or int(lengths.max()) > longest:
        raise ValueError(f"lengths must be within 0..{longest}, got {lengths.tolist()}")
    return lengths


def check_noise(flow: VideoFlow, noise: Noise, n: int, steps: int) -> None:
    wanted = [(n, steps, *shape) for shape in flow.frames.shapes]
    if [tuple(eps.shape) for eps in noise.eps] != wanted:
        raise ValueError(f"expected noise of shapes {wanted}, got {[tuple(eps.shape) for eps in noise.eps]}")

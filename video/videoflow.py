"""VideoFlow: a flow-based generative model of videos (Kumar et al. 2020, arXiv 1903.01434)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from flowsuite.core.distributions import StandardNormal
from flowsuite.core.flow import Flow
from flowsuite.core.layers.actnorm import data_dependent_init
from flowsuite.video.causal_prior import CausalPrior
from flowsuite.video.frame_flow import FrameFlow
from flowsuite.video.heads import Form
from flowsuite.video.predictions import Gaussian, Mixture
from flowsuite.video.presets import PRESETS
from flowsuite.video.sampler import Noise, sample_latents
from flowsuite.video.window_prior import WindowPrior

PRIORS = ("window", "causal")


class Score(NamedTuple):
    """Teacher-forced densities of frames, in nats.

    Attributes:
        log_prob: (B, n) of the continuous frames.
        levels: (B, n, L), the part of each latent's prior in it; the rest is the flow's log-determinant.
        least_log_std: the smallest log sigma of any prior.
    """

    log_prob: Tensor
    levels: Tensor
    least_log_std: Tensor


class VideoFlow(Flow):
    """`log p(x_t | x_<t) = sum_l log p(z_t^(l) | z_<t^(l), above_t^(l)) + log|det df/dx_t|`, f one flow for all frames.

    Frames are floats in [-0.5, 0.5), videos (B, T, C, H, W), latents by level (B, T, c, h, w), finest first.

    Args:
        video_shape: (C, H, W) of a frame; H and W divisible by 2**levels.
        levels, steps, width, coupling, activation, scale: of the flow of frames (`FrameFlow`).
        prior: "window", the published one, or "causal", ours.
        past: K of the windowed prior, latents that it sees.
        prior_blocks, prior_width, prior_activation, dilated: of the temporal nets.
        skip: temporal skip connection.
        mixture: components of the priors, one number or one a level (finest first); 1 for Gaussians.
        log_std_bound: soft bound on log sigma of the priors; None for none, as published.
        reversible: train with activation memory that does not grow with `steps` or `prior_blocks`.
        compand: give frequent pixel values more room, by this power of their frequency (`Compand`); for videos with a
            uniform ground. 0 for none, as published.
        natural_mean: power of sigma^2 on the gradients of the priors' means: 0 for the likelihood's, 1 for natural
            gradients, with which models of few moving pixels learn much faster (`Form`).
        reach: causal priors of mixtures over motions, squares of so many cells (odd), one number or one a level
            (`MotionHead`); 0 for none. It takes the place of `skip`, and of `mixture`, which is
            1 there.
        prior_channels: of the residual stream of causal temporal nets, at least; twice those of the latent by default.
    """

    def __init__(
        self,
        video_shape: tuple[int, int, int] = (3, 64, 64),
        levels: int = 3,
        steps: int = 24,
        width: int = 512,
        coupling: str = "affine",
        activation: str = "gatu",
        scale: str = "sigmoid",
        prior: str = "window",
        past: int = 3,
        prior_blocks: int = 5,
        prior_width: int = 256,
        prior_activation: str = "gatu",
        dilated: bool = True,
        skip: bool = True,
        mixture: int | list[int] = 1,
        log_std_bound: float | None = 7.0,
        reversible: bool = False,
        compand: float = 0.0,
        prior_channels: int = 0,
        natural_mean: float = 0.0,
        reach: int | list[int] = 0,
    ):
        sizes = {"levels": levels, "steps": steps, "width": width, "past": past, "prior_blocks": prior_blocks}
        for name, value in {**sizes, "prior_width": prior_width}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        check_frames(video_shape, levels)
        if prior not in PRIORS:
            raise ValueError(f"prior must be one of {', '.join(PRIORS)}, got {prior!r}")
        mixtures, reaches = per_level("mixture", mixture, levels, 1), per_level("reach", reach, levels, 0)
        if any(reaches) and prior != "causal":
            raise ValueError(f"reach needs the causal prior, got prior {prior!r}")
        if any(m > 1 and r for m, r in zip(mixtures, reaches, strict=True)):
            raise ValueError(f"a level has a mixture or a reach, got mixture {mixture} and reach {reach}")
        if log_std_bound is not None and not log_std_bound > 0:
            raise ValueError(f"log_std_bound must be above 0, or None, got {log_std_bound}")
        if not 0 <= natural_mean <= 1:
            raise ValueError(f"natural_mean must be in [0, 1], got {natural_mean}")
        frames = FrameFlow(video_shape, levels, steps, width, coupling, activation, scale, reversible, compand)
        super().__init__(frames, StandardNormal(frames.dims))
        shared: dict[str, Any] = {
            "blocks": prior_blocks,
            "width": prior_width,
            "activation": prior_activation,
            "dilated": dilated,
            "skip": skip,
            "form": Form(log_std_bound, natural_mean),
            "recompute": reversible,
        }
        each = [{"shape": s, "mixture": m} for s, m in zip(frames.shapes, mixtures, strict=True)]
        if prior == "window":
            make, shared = WindowPrior, {**shared, "past": past}
        else:
            make, shared = CausalPrior, {**shared, "channels": prior_channels}
            each = [{**own, "reach": r} for own, r in zip(each, reaches, strict=True)]
        self.priors = nn.ModuleList(make(top=level == levels - 1, **own, **shared) for level, own in enumerate(each))
        self.video_shape, self.prior, self.past = tuple(video_shape), prior, past
        self.dims, self.log_std_bound = frames.dims, log_std_bound
        self.balance = 0.0  # share of balanced assignments in the training of mixtures, set by who trains

    @classmethod
    def published(cls, name: str, **changes: Any) -> VideoFlow:
        """One of the three published configurations: "bair-quant", "bair-qual" or "shapes"."""
        if name not in PRESETS:
            raise ValueError(f"unknown configuration {name!r}: expected one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changes})

    @property
    def frames(self) -> FrameFlow:
        """The flow of single frames."""
        return self.transform

    @property
    def levels(self) -> int:
        return len(self.priors)

    def check_video(self, x: Tensor) -> None:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise TypeError(f"expected videos as floats in [-0.5, 0.5), got {getattr(x, 'dtype', type(x).__name__)}")
        if x.dtype != self.base.anchor.dtype:
            raise TypeError(f"the model computes in {self.base.anchor.dtype}, got videos of {x.dtype}: convert either")
        if x.ndim != 5 or tuple(x.shape[2:]) != self.video_shape or not x.shape[0]:
            wanted = ", ".join(map(str, self.video_shape))
            raise ValueError(f"expected videos of shape (B, T, {wanted}), got {tuple(x.shape)}")

    # Density

    def encode_with_above(self, x: Tensor) -> tuple[list[Tensor], list[Tensor | None], Tensor]:
        """`(z, above, ladj)` by level (B, T, c, h, w), and (B, T): all frames in one call of the flow; T may be 0."""
        size = x.shape[:2]
        if not size[1]:
            empty = [x.new_zeros(*size, *shape) for shape in self.frames.shapes]
            return empty, [*empty[:-1], None], x.new_zeros(size)
        latents, above, ladj = self.frames.encode_levels(x.flatten(0, 1))
        return (
            [z.unflatten(0, size) for z in latents],
            [None if h is None else h.unflatten(0, size) for h in above],
            ladj.unflatten(0, size),
        )

    def score(self, x: Tensor, context: int = 0) -> Score:
        """Densities of frames `context` to T - 1 of videos (B, T, C, H, W), each given all before it."""
        self.check_video(x)
        if not 0 <= context < x.shape[1]:
            raise ValueError(f"context must leave frames to score: got {context} of {x.shape[1]} frames")
        if self.prior == "window":  # what lies further back is never seen
            x, context = x[:, max(0, context - self.past) :], min(context, self.past)
        latents, above, ladj = self.encode_with_above(x)
        parts, least = [], []
        for prior, z, h in zip(self.priors, latents, above, strict=True):
            pieces, at, found = prior.predict(z, h, context), context, []
            for piece in pieces:
                n = piece.log_std.shape[1]
                found.append(self.piece_log_prob(piece, z[:, at : at + n]))
                least.append(piece.log_std.detach().amin())
                at += n
            parts.append(torch.cat(found, dim=1))
        levels = torch.stack(parts, dim=2)
        return Score(levels.sum(2) + ladj[:, context:], levels, torch.stack(least).amin())

    def piece_log_prob(self, piece: Gaussian | Mixture, z: Tensor) -> Tensor:
        if self.training and self.balance and isinstance(piece, Mixture):
            return piece.balanced_log_prob(z, self.balance)
        return piece.log_prob(z)

    def frame_log_prob(self, x: Tensor, context: int = 0) -> Tensor:
        """Nats of frames `context` to T - 1, (B, T - context): teacher-forced, of continuous frames."""
        return self.score(x, context).log_prob

    def log_prob(self, x: Tensor, context: int | None = None) -> Tensor:
        """Nats of whole videos, or of what follows `context` given frames, (B,)."""
        return self.frame_log_prob(x, context or 0).sum(1)

    def predictions(self, x: Tensor, context: int = 0) -> list[list[Gaussian | Mixture]]:
        """What the priors say, by level, of frames `context` to T - 1, in pieces with (B, n) in front."""
        self.check_video(x)
        latents, above, _ = self.encode_with_above(x)
        return [p.predict(z, h, context) for p, z, h in zip(self.priors, latents, above, strict=True)]

    @torch.no_grad()
    def initialize(self, x: Tensor, context: int | None = None) -> None:
        """Data-dependent initialisation from all frames of a batch of videos together.

        A windowed prior needs `past + 1` frames of each, and more are not taken: batches may be large.
        """
        x = x[:, : self.past + 1] if self.prior == "window" else x
        with data_dependent_init():
            self.frame_log_prob(x)

    # Latents

    def encode(self, x: Tensor, context: Any = None) -> list[Tensor]:
        """Videos to latents by level, finest first: (B, T, c, h, w). They are not standardised by the priors."""
        self.check_video(x)
        return self.encode_with_above(x)[0]

    def decode(self, z: list[Tensor], context: Any = None) -> Tensor:
        """Latents by level to videos (B, T, C, H, W)."""
        if len(z) != self.levels:
            raise ValueError(f"expected latents of {self.levels} levels, got {len(z)}")
        return self.frames.decode_levels([part.flatten(0, 1) for part in z]).unflatten(0, z[0].shape[:2])

    # Generation

    @torch.no_grad()
    def sample(
        self,
        frames: Tensor | None,
        num_frames: int,
        num_samples: int = 1,
        temperature: float | Sequence[float] = 1.0,
        generator: torch.Generator | None = None,
        lengths: Tensor | None = None,
        batch: int = 1,
        noise: Noise | None = None,
    ) -> Tensor:
        """Continuations of given frames, continuous: (B, N, num_frames, C, H, W).

        The context is encoded once for all its samples. Generation is level-major: the whole sequence of the top
        latent first, then its inversion for all frames at once, then the next level.

        Args:
            frames: (B, K, C, H, W) floats; None for videos without context.
            num_frames: frames to generate.
            num_samples: N of each context.
            temperature: factor on sigma of the priors, one number or one a level (finest first).
            generator: on the device of the model.
            lengths: how many of the K frames of each example are given (B,), the rest being padding; all by default.
            batch: B where `frames` is None.
            noise: what the samples are made of, drawn from `generator` by default.
        """
        temperatures = self.temperatures(temperature)
        if num_frames < 1 or num_samples < 1 or batch < 1:
            raise ValueError(f"expected num_frames, num_samples >= 1, got {num_frames}, {num_samples}")
        if frames is None:
            frames = self.base.anchor.new_zeros(batch, 0, *self.video_shape)
        self.check_video(frames)
        latents = sample_latents(self, frames, num_frames, num_samples, temperatures, generator, lengths, noise)
        return latents.unflatten(0, (frames.shape[0], num_samples))

    def temperatures(self, temperature: float | Sequence[float]) -> list[float]:
        """One a level."""
        found = [temperature] * self.levels if isinstance(temperature, int | float) else list(temperature)
        if len(found) != self.levels or not all(t >= 0 for t in found):
            raise ValueError(f"expected a temperature >= 0, or one for each of {self.levels} levels, got {temperature}")
        return found

    def forward(self, x: Tensor, context: int | None = None) -> Tensor:
        return self.log_prob(x, context)


def per_level(name: str, value: int | list[int], levels: int, least: int) -> list[int]:
    """One number a level, of one for all or a list, finest first."""
    found = [value] * levels if isinstance(value, int) else list(value)
    if len(found) != levels or min(found) < least:
        raise ValueError(f"{name} must be a number >= {least}, or one for each of the {levels} levels, got {value}")
    return found


def check_frames(video_shape: Sequence[int], levels: int) -> None:
    """Every level halves height and width: both must be multiples of 2**levels."""
    if len(video_shape) != 3 or min(video_shape) < 1:
        raise ValueError(f"video_shape must be (channels, height, width), got {tuple(video_shape)}")
    _, height, width = video_shape
    if height % 2**levels or width % 2**levels:
        raise ValueError(f"{levels} levels need frames with sides divisible by {2**levels}, got {height}x{width}")

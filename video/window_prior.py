"""The published prior of one level: a window of K past latents, and a prior without past for the first frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flowsuite.core.nets.conv import EdgeConv2d
from flowsuite.core.numerics import at_least_float32
from flowsuite.video.heads import DEFAULT_FORM, Form, MixtureHead, as_gaussian
from flowsuite.video.predictions import Gaussian, Mixture, soft_clamp
from flowsuite.video.window_net import WindowNet, dilations_for


@dataclass
class WindowState:
    """The latents that are known, oldest first, the last K at most: (N, C, H, W) each."""

    past: list[Tensor]


class WindowPrior(nn.Module):
    """`p(z_t | z_{t-K} .. z_{t-1}, above_t)` of one level (VideoFlow, arXiv 1903.01434, section 4.2).

    With `m = mean(above_t)`, a 3x3 convolution, the temporal net sees the K past latents, each with `m` behind its
    channels; its output is `(delta, log sigma)`, and `mu = delta`, plus `z_{t-1}` with `skip`. Frames without K
    predecessors have `N(m, exp(log_std(above_t)))`. At the top there is nothing above: the net sees the latents alone,
    and the first frames have maps of a zero image, which the borders make vary in space.

    Args:
        shape: (C, H, W) of the latent.
        top: of the top level.
        past: K.
        blocks, width, activation, dilated, recompute: of the temporal net.
        skip: temporal skip connection.
        form: of the Gaussians.
        mixture: components of the density; 1 for the Gaussian.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        top: bool,
        past: int = 3,
        blocks: int = 5,
        width: int = 256,
        activation: str = "gatu",
        dilated: bool = True,
        skip: bool = True,
        form: Form = DEFAULT_FORM,
        mixture: int = 1,
        recompute: bool = False,
    ):
        super().__init__()
        channels = shape[0]
        self.shape, self.top, self.past, self.skip, self.form = tuple(shape), top, past, skip, form
        self.mean = EdgeConv2d(channels, channels, 3, "indicator", zero_init=True)
        self.log_std = EdgeConv2d(channels, channels, 3, "indicator", zero_init=True)
        features = channels if top else 2 * channels
        dilations = dilations_for(shape[1:], dilated)
        outputs = features if mixture > 1 else 2 * channels
        self.net = WindowNet(features, outputs, past, blocks, width, activation, dilations, recompute)
        self.head = None
        if mixture > 1:
            self.net.last = nn.Identity()
            self.head = MixtureHead(features, channels, mixture, width)

    def predict(self, z: Tensor, above: Tensor | None, first: int) -> list[Gaussian | Mixture]:
        """The predictions of frames `first` to T - 1 of whole clips, (B, n) in front, in one or two pieces.

        z and above (B, T, C, H, W). All windows of all clips are one batch of the temporal net.
        """
        batch, frames = z.shape[:2]
        begin, pieces = max(first, self.past), []
        if first < min(begin, frames):
            given = z[:, first : min(begin, frames)]
            over = None if above is None else above[:, first : min(begin, frames)].flatten(0, 1)
            pieces.append(self.without_past(given.flatten(0, 1), over).unflatten(given.shape[:2]))
        if begin < frames:
            slots = [z[:, begin - self.past + k : frames - self.past + k].flatten(0, 1) for k in range(self.past)]
            m = None if above is None else self.mean(above[:, begin:].flatten(0, 1))
            pieces.append(self.from_window(slots, m).unflatten((batch, frames - begin)))
        return pieces

    def without_past(self, like: Tensor, above: Tensor | None) -> Gaussian:
        """The prior of first frames (N, ...); `like` has the shape of their latents."""
        if above is None:
            above = torch.zeros_like(like[:1])
        maps = [at_least_float32(net(above)).expand(like.shape[0], -1, -1, -1) for net in (self.mean, self.log_std)]
        return Gaussian(maps[0], soft_clamp(maps[1], self.form.bound))

    def from_window(self, slots: list[Tensor], m: Tensor | None) -> Gaussian | Mixture:
        """The prediction from K past latents (N, ...), oldest first, and `m` of the frame itself."""
        previous = slots[-1] if self.skip else None
        h = self.net(slots, m)
        return as_gaussian(h, previous, self.form) if self.head is None else self.head(h, previous, self.form)

    def freeze_first_frames(self) -> None:
        """No gradients for what only the prior of first frames has."""
        self.log_std.requires_grad_(False)
        if self.top:
            self.mean.requires_grad_(False)

    # One frame after another

    def start(self, z: Tensor, above: Tensor | None, copies: int) -> WindowState:
        """The state after the given frames (B, T, ...), `copies` times: example b has rows b * copies and following."""
        past = z[:, max(0, z.shape[1] - self.past) :].repeat_interleave(copies, dim=0)
        return WindowState(list(past.unbind(1)))

    def condition(self, above: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """What all new frames (N, T, ...) need of the level above: computed once for all."""
        if above is None:
            return None
        return above, self.mean(above.flatten(0, 1)).unflatten(0, above.shape[:2])

    def step(self, state: WindowState, condition: tuple[Tensor, Tensor] | None, i: int, like: Tensor):
        """The prediction (N, ...) of the next frame, number `i` of the new ones."""
        above, m = (None, None) if condition is None else (t[:, i] for t in condition)
        if len(state.past) < self.past:
            return self.without_past(like, above)
        return self.from_window(state.past, m)

    def push(self, state: WindowState, z: Tensor) -> None:
        state.past = [*state.past, z][-self.past :]

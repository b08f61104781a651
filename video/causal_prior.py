"""Our prior of one level over whole sequences: any number of context frames, none included."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flowsuite.video.causal_net import CausalNet, StackState, delayed
from flowsuite.video.heads import DEFAULT_FORM, Form, GaussianHead, MixtureHead, MotionHead
from flowsuite.video.predictions import Gaussian, Mixture
from flowsuite.video.window_net import dilations_for


@dataclass
class CausalState:
    """After some frames: their last latent, that before it and the last of the level above, (N, C, H, W), zeros where
    there is none; and the states of the net, None before the first frame."""

    previous: Tensor
    before: Tensor
    above: Tensor
    stacks: list[StackState] | None


class CausalPrior(nn.Module):
    """`p(z_t | z_<t, above_t)` of one level by a causal net with one normalisation for all times.

    The input at time t is `z_{t-1}` (zeros before the first frame), `above_t` and a plane that is 1 at the first frame
    only. So the prior of first frames is trained like all others: the likelihood of whole videos is defined, generation
    needs no context, and context may have any length. Sampling goes on from cached states, one time step of work for
    a new frame, where the windowed prior computes K.

    Args:
        shape: (C, H, W) of the latent.
        top: of the top level, which has nothing above.
        blocks, width, activation, dilated, recompute: of the net.
        skip: temporal skip connection: `mu = z_{t-1} + delta`.
        form: of the Gaussians.
        mixture: components of the density; 1 for the Gaussian.
        reach: of motions of the latent, in place of a mixture (`MotionHead`); 0 for none.
        channels: of the residual stream, at least; twice those of the latent by default.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        top: bool,
        blocks: int = 5,
        width: int = 256,
        activation: str = "gatu",
        dilated: bool = True,
        skip: bool = True,
        form: Form = DEFAULT_FORM,
        mixture: int = 1,
        reach: int = 0,
        recompute: bool = False,
        channels: int = 0,
    ):
        super().__init__()
        own = shape[0]
        channels = max(channels, 2 * own)
        self.shape, self.top, self.skip, self.form = tuple(shape), top, skip, form
        inputs = own + 1 if top else 2 * own + 1
        dilations = dilations_for(shape[1:], dilated)
        self.net = CausalNet(inputs, channels, blocks, width, activation, dilations, recompute)
        if reach:
            self.head = MotionHead(channels, own, reach, width)
        else:
            self.head = MixtureHead(channels, own, mixture, width) if mixture > 1 else GaussianHead(channels, own)

    def inputs(self, previous: Tensor, above: Tensor | None, begins: bool) -> Tensor:
        """(B, T, ...) for latents one step earlier; `begins` says that the first one is before the video."""
        flag = torch.zeros_like(previous[:, :, :1])
        if begins:
            flag[:, 0] = 1
        parts = [previous, flag] if above is None else [previous, above, flag]
        return torch.cat(parts, dim=2)

    def run(self, z: Tensor, above: Tensor | None) -> tuple[Tensor, Tensor, list[StackState]]:
        """`(features, previous, states)` of whole clips."""
        previous = delayed(z, None)
        features, states = self.net(self.inputs(previous, above, True))
        return features, previous, states

    def predict(self, z: Tensor, above: Tensor | None, first: int) -> list[Gaussian | Mixture]:
        """The predictions of frames `first` to T - 1 of whole clips (B, T, C, H, W), (B, n) in front, in one piece."""
        features, previous, _ = self.run(z, above)
        after = previous if above is None else above
        size = (z.shape[0], z.shape[1] - first)
        scored = (t[:, first:].flatten(0, 1) for t in (features, previous, delayed(after, None), after))
        return [self.head_of(*scored).unflatten(size)]

    def head_of(self, features: Tensor, previous: Tensor, before: Tensor, after: Tensor) -> Gaussian | Mixture:
        """`before` and `after` are the step that shows how things move."""
        if isinstance(self.head, MotionHead):
            return self.head(features, previous, self.form, before, after)
        return self.head(features, previous if self.skip else None, self.form)

    # One frame after another

    def start(self, z: Tensor, above: Tensor | None, copies: int) -> CausalState:
        """The state after the given frames (B, T, ...), `copies` times: example b has rows b * copies and following."""
        nothing = z.new_zeros(z.shape[0] * copies, *self.shape)
        if not z.shape[1]:
            return CausalState(nothing, nothing, nothing, None)
        _, previous, states = self.run(z, above)
        again = [tuple(t.repeat_interleave(copies, dim=0) for t in state) for state in states]
        last = (z, previous, z if above is None else above)
        return CausalState(*(t[:, -1].repeat_interleave(copies, dim=0) for t in last), again)

    def condition(self, above: Tensor | None) -> Tensor | None:
        """What all new frames (N, T, ...) need of the level above."""
        return above

    def step(self, state: CausalState, condition: Tensor | None, i: int, like: Tensor) -> Gaussian | Mixture:
        """The prediction (N, ...) of the next frame, number `i` of the new ones; advances the net."""
        over = None if condition is None else condition[:, i : i + 1]
        inputs = self.inputs(state.previous.unsqueeze(1), over, state.stacks is None)
        features, state.stacks = self.net(inputs, state.stacks)
        step = (state.before, state.previous) if over is None else (state.above, over[:, 0])
        state.above = step[1]
        return self.head_of(features[:, 0], state.previous, *step)

    def push(self, state: CausalState, z: Tensor) -> None:
        state.before, state.previous = state.previous, z

"""A causal temporal net over whole sequences, with the state that lets it go on by single steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from flowsuite.core.nets.conv import EdgeConv2d, gatu

StackState = tuple[Tensor, Tensor]


class CausalStack(nn.Module):
    """conv (2,3,3), actnorm, ReLU; GATU; conv (2,3,3) that starts at zero, causal in time.

    The layers of `WindowStack` with one actnorm for all times, applied to a whole sequence (B, T, C, H, W) at once.
    What lies before a sequence is zero; the state is the last input and what the last step gives to its successor, so
    that a sequence may be cut anywhere: the pieces give what the whole gives.
    """

    def __init__(self, channels: int, width: int, dilation: int = 1, activation: str = "gatu"):
        super().__init__()
        self.activation = activation
        middle = 2 * width if activation == "gatu" else width
        self.first = EdgeConv2d(2 * channels, width, 3, "indicator", actnorm=True, dilation=dilation)
        self.middle = EdgeConv2d(width, middle, 1, actnorm=True)
        self.last = EdgeConv2d(width, 2 * channels, 3, "indicator", zero_init=True, dilation=dilation)

    def forward(self, x: Tensor, state: StackState | None) -> tuple[Tensor, StackState]:
        """What every step gains, (B, T, C, H, W), and the state after the last."""
        older = delayed(x, None if state is None else state[0])
        h = self.first(torch.cat((older, x), dim=2).flatten(0, 1), relu=True)
        h = gatu(self.middle(h)) if self.activation == "gatu" else self.middle(h, relu=True)
        to_next, to_itself = self.last(h).unflatten(0, x.shape[:2]).chunk(2, dim=2)
        gain = to_itself + delayed(to_next, None if state is None else state[1])
        return gain, (x[:, -1], to_next[:, -1])


def delayed(x: Tensor, before: Tensor | None) -> Tensor:
    """(B, T, ...) one step later, beginning with `before` (B, ...) or zeros."""
    before = torch.zeros_like(x[:, :1]) if before is None else before.unsqueeze(1)
    return torch.cat((before, x[:, :-1]), dim=1)


class CausalNet(nn.Module):
    """A 3x3 convolution with actnorm into `channels`, then blocks `h <- h + sum_d stack_d(h)`.

    Args:
        inputs: channels of the input.
        channels: R of the residual stream.
        blocks, width, activation, dilations: as for `WindowNet`.
        recompute: store only what blocks pass on, and compute the rest again in the backward pass.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        blocks: int,
        width: int,
        activation: str = "gatu",
        dilations: tuple[int, ...] = (1,),
        recompute: bool = False,
    ):
        super().__init__()
        self.recompute = recompute
        self.inlet = EdgeConv2d(inputs, channels, 3, "indicator", actnorm=True)
        self.blocks = nn.ModuleList(
            nn.ModuleList(CausalStack(channels, width, d, activation) for d in dilations) for _ in range(blocks)
        )

    def forward(self, x: Tensor, states: list[StackState] | None = None) -> tuple[Tensor, list[StackState]]:
        """Features (B, T, R, H, W) of inputs (B, T, C, H, W), and the state of all stacks after the last step."""
        h, after = self.inlet(x.flatten(0, 1)).unflatten(0, x.shape[:2]), []
        given = iter(states) if states is not None else None
        for block in self.blocks:
            before = [None if given is None else next(given) for _ in block]
            if self.recompute and self.training and torch.is_grad_enabled():
                h, reached = checkpoint(self.run_block, block, h, before, use_reentrant=False)
            else:
                h, reached = self.run_block(block, h, before)
            after += reached
        return h, after

    @staticmethod
    def run_block(block: nn.ModuleList, h: Tensor, states: list[StackState | None]) -> tuple[Tensor, list[StackState]]:
        gains, after = zip(*(stack(h, state) for stack, state in zip(block, states, strict=True)), strict=True)
        return h + sum(gains), list(after)

"""VideoFlow's temporal net: from a window of past latents to mean and scale of the next one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from flowsuite.core.nets.conv import EdgeConv2d
from flowsuite.video.window_stack import WindowStack


def dilations_for(size: tuple[int, int], dilated: bool) -> tuple[int, ...]:
    """1, and if `dilated` 2 and 4 where the latents (H, W) have room for them."""
    return (1, *(rate + 1 for rate in (1, 3) if dilated and 3 + 2 * rate <= min(size)))


class WindowNet(nn.Module):
    """`h <- h + sum_d stack_d(h)` for every block; a 1x1 convolution of the last slot gives the outputs.

    The window's K slots are (N, C, H, W) each. Only what the last slot needs of each block is computed: K - 2 slots of
    the one before the last block, and so on.

    Args:
        channels: R of a slot.
        outputs: channels of the result; it starts at zero.
        past: K.
        blocks, width, activation: of the net.
        dilations: of the parallel stacks of a block.
        recompute: store only what blocks pass on, and compute the rest again in the backward pass.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        past: int,
        blocks: int,
        width: int,
        activation: str = "gatu",
        dilations: tuple[int, ...] = (1,),
        recompute: bool = False,
    ):
        super().__init__()
        self.past, self.recompute = past, recompute
        self.blocks = nn.ModuleList(
            nn.ModuleList(WindowStack(channels, width, past, d, activation) for d in dilations) for _ in range(blocks)
        )
        self.last = EdgeConv2d(channels, outputs, 1, zero_init=True)
        for block, wanted in zip(self.blocks, self.outputs_of_blocks(), strict=True):
            for stack in block:
                stack.freeze_unused(wanted)

    def forward(self, slots: list[Tensor], shared: Tensor | None = None) -> Tensor:
        """(N, outputs, H, W) of the K slots, oldest first; `shared` are further channels, the same in all slots."""
        return self.last(self.features(slots, shared))

    def features(self, slots: list[Tensor], shared: Tensor | None = None) -> Tensor:
        """The last slot (N, R, H, W) after all blocks."""
        for block, outputs in zip(self.blocks, self.outputs_of_blocks(), strict=True):
            run = self.run_block
            if self.recompute and self.training and torch.is_grad_enabled():
                slots = checkpoint(run, block, slots, outputs, shared, use_reentrant=False)
            else:
                slots = run(block, slots, outputs, shared)
            shared = None
        return slots[-1] if shared is None else torch.cat((slots[-1], shared), dim=1)

    def outputs_of_blocks(self) -> list[int]:
        """How many slots, counted from the last, are wanted of each block."""
        needed = [1]
        for _ in range(len(self.blocks) - 1):
            needed.append(min(self.past, needed[-1] + 2))
        return needed[::-1][: len(self.blocks)]

    @staticmethod
    def run_block(block: nn.ModuleList, slots: list[Tensor], outputs: int, shared: Tensor | None) -> list[Tensor]:
        gains = [stack(slots, outputs, shared) for stack in block]
        kept = slots[len(slots) - outputs :]
        if shared is not None:
            kept = [torch.cat((slot, shared), dim=1) for slot in kept]
        return [slot + sum(gain) for slot, gain in zip(kept, zip(*gains, strict=True), strict=True)]

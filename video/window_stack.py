"""The residual stack of VideoFlow's temporal net, over the time slots of one window (arXiv 1903.01434, appendix)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.nets.conv import ACTIVATIONS, folded_conv2d, gatu
from flowsuite.core.nets.narrow_conv import conv2d


class WindowStack(nn.Module):
    """conv (2,3,3), actnorm, ReLU; GATU (or 1x1 conv, actnorm, ReLU); conv (2,3,3) that starts at zero.

    Both convolutions are causal in time: slot k sees slots k - 1 and k, and slot 0 a step of padding. Kernels are
    dilated in space only. An indicator channel is 1 on the spatial ring of padding, and everywhere on the step of
    padding in time. Every slot has its own actnorm. A window of one slot has kernels (1,3,3) and no padding in time.

    A time slot is a tensor (N, C, H, W) and a convolution over two of them one over the channels of both, into which
    the actnorm of the slot is folded.

    Args:
        channels: R, of input and output.
        width: hidden channels.
        past: K, slots of a window.
        dilation: of the 3x3 kernels.
        activation: "gatu" or "relu".
    """

    def __init__(self, channels: int, width: int, past: int, dilation: int = 1, activation: str = "gatu"):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.channels, self.past, self.dilation, self.activation = channels, past, dilation, activation
        taps, middle = min(past, 2), 2 * width if activation == "gatu" else width
        self.weight_in = nn.Parameter(0.05 * torch.randn(width, taps, channels, 3, 3))  # older slot first
        self.edge_in = nn.Parameter(0.05 * torch.randn(width, taps, 1, 3, 3))
        self.norm_in = nn.ModuleList(ActNorm(width) for _ in range(past))
        self.weight_middle = nn.Parameter(0.05 * torch.randn(middle, width, 1, 1))
        self.norm_middle = nn.ModuleList(ActNorm(middle) for _ in range(past))
        self.weight_out = nn.Parameter(torch.zeros(taps, channels, width, 3, 3))
        self.edge_out = nn.Parameter(torch.zeros(taps, channels, 1, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    def freeze_unused(self, outputs: int) -> None:
        """No gradients for the actnorms of slots that the last `outputs` ones do not depend on."""
        for norms in (self.norm_in, self.norm_middle):
            norms[: max(0, self.past - outputs - 1)].requires_grad_(False)

    def forward(self, slots: list[Tensor], outputs: int, shared: Tensor | None = None) -> list[Tensor]:
        """What the last `outputs` slots of the window gain.

        Args:
            slots: the last slots of the window, at least `min(K, outputs + 2)`.
            shared: (N, c, H, W), the last channels of all slots where these are the same; it passes the first
                convolution once for both of its slots.
        """
        wanted, first = min(self.past, outputs + 1), self.past - len(slots)
        hidden = {}
        for k in range(self.past - wanted, self.past):
            older = slots[k - 1 - first] if k > 0 else None
            hidden[k] = self.hidden(k, older, slots[k - first], shared)
        return self.lower(hidden, outputs)

    def hidden(self, k: int, older: Tensor | None, slot: Tensor, shared: Tensor | None) -> Tensor:
        """Slot number `k` in the width of the net, (N, width, H, W)."""
        weight, own = self.weight_in, slot.shape[1]
        padding = None  # what the step of padding adds: its indicator is 1 wherever a kernel looks
        if older is None:
            padding = self.edge_in[:, 0].sum((1, 2, 3)) if self.past > 1 else None
            weight, edge, parts = weight[:, -1:], self.edge_in[:, -1], [slot]
        else:
            edge, parts = self.edge_in.sum(1), [older, slot]
        kernel = weight[:, :, :own].flatten(1, 2)
        if shared is not None:
            kernel, parts = torch.cat((kernel, weight[:, :, own:].sum(1)), dim=1), [*parts, shared]
        x = torch.cat(parts, dim=1) if len(parts) > 1 else slot
        h = folded_conv2d(x, kernel, self.norm_in[k], edge, True, self.dilation, padding)
        gated = self.activation == "gatu"
        h = folded_conv2d(h, self.weight_middle, self.norm_middle[k], relu=not gated)
        return gatu(h) if gated else h

    def lower(self, hidden: dict[int, Tensor], outputs: int) -> list[Tensor]:
        """The last convolution: what every slot gives to itself and to the next one, in one product."""
        scale, last = (3 * self.log_scale).exp(), self.past - 1
        weight, edge = (t * scale.view(1, -1, 1, 1, 1) for t in (self.weight_out, self.edge_out))
        gained: dict[int, Tensor] = {}
        for k, h in hidden.items():
            begin = 1 if k == last and self.past > 1 else 0  # the last slot has no next one
            end = None if k > last - outputs else 1  # of the first hidden slot only the next one may be wanted
            y = conv2d(h, weight[begin:end].flatten(0, 1), None, edge[begin:end].flatten(0, 1), False, self.dilation)
            parts = list(y.split(self.channels, dim=1))
            if k > last - outputs:
                gained[k] = gained[k] + parts[-1] if k in gained else parts[-1]
            if k < last:
                gained[k + 1] = parts[0]
        bias = (self.bias * scale).view(1, -1, 1, 1)
        if 0 in gained and self.past > 1:
            gained[0] = gained[0] + edge[0].sum((1, 2, 3)).view(1, -1, 1, 1)
        return [gained[k] + bias for k in range(self.past - outputs, self.past)]

"""WaveFlow by the strategies of its public PyTorch implementation, on the weights of one of ours.

Written from their description: weight-normed convolutions of every layer called one by one, a conditioner per layer,
residual and skip maps of 2C channels, tanh and sigmoid apart. Two inverses: `reverse` runs the network over all earlier
rows again for every row; `reverse_fast` keeps a queue of three rows per layer, joined anew in every step, and has the
conditioners of all layers projected beforehand. Height dilations are 1, as they must be for `reverse_fast`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from flowsuite.audio.row_net import RowNet
from flowsuite.audio.squeeze import squeeze, unsqueeze
from flowsuite.audio.waveflow import WaveFlow


def conv(weight: Tensor, bias: Tensor, normed: bool = True, **options) -> nn.Conv2d:
    """A convolution with these values, weight-normed."""
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], **options)
    layer.weight.data, layer.bias.data = weight.detach().clone(), bias.detach().clone()
    return weight_norm(layer) if normed else layer


class Layer(nn.Module):
    """One gated layer: 3x3 convolution, conditioner, residual and skip."""

    def __init__(self, net: RowNet, index: int):
        super().__init__()
        channels, (over_rows, over_columns) = net.channels, net.dilations[index]
        part = slice(2 * channels * index, 2 * channels * (index + 1))
        own = net.convs[index]
        self.padding = (over_columns, over_columns, 2 * over_rows, 0)
        self.conv = conv(own.normed, own.bias, dilation=(over_rows, over_columns))
        self.condition = conv(net.condition.normed[part], net.condition.bias[part])
        last = index + 1 == len(net.convs)
        residual = net.skips[index] if last else net.residuals[index]  # the last residual is computed and not used
        both = [
            torch.cat(pair) for pair in zip(*((m.normed, m.bias) for m in (residual, net.skips[index])), strict=True)
        ]
        self.out = conv(*both)

    def forward(self, hidden: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        a = self.conv(F.pad(hidden, self.padding)) + self.condition(mel)
        return self.gated(hidden, a)

    def gated(self, hidden: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        first, second = a.chunk(2, dim=1)
        residual, skip = self.out(torch.tanh(first) * torch.sigmoid(second)).chunk(2, dim=1)
        return hidden + residual, skip


class Net(nn.Module):
    """`(log s, t)` of all rows, or of one row by a queue."""

    def __init__(self, net: RowNet):
        super().__init__()
        self.front = conv(net.front.normed, net.front.bias)
        self.layers = nn.ModuleList(Layer(net, index) for index in range(len(net.convs)))
        self.out = conv(net.out.weight, net.out.bias, normed=False)

    def forward(self, rows: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        hidden, total = self.front(rows), 0.0
        for layer in self.layers:
            hidden, skip = layer(hidden, mel)
            total = total + skip
        return self.out(total).chunk(2, dim=1)

    def step(self, row: Tensor, conditions: list[Tensor], queues: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The next row from one row (B, 1, 1, W); the queues, (B, C, 3, W) each, move on by it."""
        hidden, total = self.front(row), 0.0
        for index, layer in enumerate(self.layers):
            queues[index] = torch.cat((queues[index][:, :, 1:], hidden), dim=2)
            a = layer.conv(F.pad(queues[index], (*layer.padding[:2], 0, 0))) + conditions[index]
            hidden, skip = layer.gated(hidden, a)
            total = total + skip
        return self.out(total).chunk(2, dim=1)


class PublicWaveFlow(nn.Module):
    """The density and both inverses; waveforms of whole columns, one length for all."""

    def __init__(self, flow: WaveFlow):
        super().__init__()
        self.height, self.upsample, self.base = flow.height, flow.upsample, flow.base
        self.nets = nn.ModuleList(Net(layer.net) for layer in flow.transform[::2])
        self.orders = [layer.order for layer in flow.transform[1::2]]

    def log_prob(self, x: Tensor, mel: Tensor) -> Tensor:
        """Nats of the whole batch."""
        rows = squeeze(x, self.height).unsqueeze(1)
        condition = squeeze(self.upsample(mel)[..., : x.shape[1]], self.height)
        total = 0.0
        for net, order in zip(self.nets, self.orders, strict=True):
            log_s, t = net(rows[:, :, :-1], condition[:, :, 1:])
            rows = torch.cat((rows[:, :, :1], rows[:, :, 1:] * log_s.exp() + t), dim=2)
            total = total + log_s.sum()
            rows, condition = rows[:, :, order], condition[:, :, order]
        return self.base.elementwise_log_prob(rows).sum() + total

    @torch.no_grad()
    def reverse(self, z: Tensor, mel: Tensor, fast: bool = False) -> Tensor:
        """Waveforms of latents (B, height, width)."""
        rows = z.unsqueeze(1)
        conditions = [squeeze(self.upsample(mel), self.height)]
        for order in self.orders:
            conditions.append(conditions[-1][:, :, order])
        for net, order, condition in reversed(list(zip(self.nets, self.orders, conditions, strict=False))):
            rows = rows[:, :, torch.argsort(order)]
            rows = self._fast(net, rows, condition) if fast else self._slow(net, rows, condition)
        return unsqueeze(rows.squeeze(1))

    def _slow(self, net: Net, z: Tensor, condition: Tensor) -> Tensor:
        x = z[:, :, :1]
        for i in range(1, self.height):
            log_s, t = net(x, condition[:, :, 1 : i + 1])
            new = (z[:, :, i : i + 1] - t[:, :, -1:]) * (-log_s[:, :, -1:]).exp()
            x = torch.cat((x, new), dim=2)
        return x

    def _fast(self, net: Net, z: Tensor, condition: Tensor) -> Tensor:
        conditions = [layer.condition(condition) for layer in net.layers]
        channels = net.front.weight.shape[0]
        queues = [z.new_zeros(len(z), channels, 3, z.shape[3]) for _ in net.layers]
        x = z[:, :, :1]
        for i in range(1, self.height):
            log_s, t = net.step(x[:, :, -1:], [c[:, :, i : i + 1] for c in conditions], queues)
            x = torch.cat((x, (z[:, :, i : i + 1] - t) * (-log_s).exp()), dim=2)
        return x

    def remove_weight_norm(self) -> PublicWaveFlow:
        """Every weight computed once, as one does before synthesis."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and parametrize.is_parametrized(module):
                parametrize.remove_parametrizations(module, "weight")
        return self

"""WaveFlow and WaveGlow once more, straight from their equations, slowly, on weights by their public names."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

WIDTH_TAPS = 3


def conv_weights(shape: tuple[int, ...], draw: torch.Generator) -> dict[str, Tensor]:
    """Of a weight-normed convolution."""
    size = math.prod(shape[1:])
    return {
        "weight_g": 0.5 + torch.rand(shape[0], *[1] * (len(shape) - 1), generator=draw, dtype=torch.float64),
        "weight_v": torch.randn(shape, generator=draw, dtype=torch.float64) / math.sqrt(size),
        "bias": 0.1 * torch.randn(shape[0], generator=draw, dtype=torch.float64),
    }


def named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def effective(weights: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """The (weight, bias) that layer `name` computes with."""
    gain, direction, bias = (weights[f"{name}.{part}"] for part in ("weight_g", "weight_v", "bias"))
    norm = direction.flatten(1).norm(dim=1).view_as(gain)
    return gain * direction / norm, bias


def squeezed(x: Tensor, height: int) -> Tensor:
    """X[..., i, j] = x[..., j * height + i]."""
    rows = torch.zeros(*x.shape[:-1], height, x.shape[-1] // height, dtype=x.dtype)
    for i in range(height):
        for j in range(rows.shape[-1]):
            rows[..., i, j] = x[..., j * height + i]
    return rows


# WaveFlow


def waveflow_weights(channels: int, flows: int, layers: int, mels: int, factors: list[int], seed: int) -> dict:
    draw = torch.Generator().manual_seed(seed)
    weights = {}
    for i, u in enumerate(factors):
        stage = conv_weights((1, 1, 3, 2 * u), draw)
        weights |= named(f"upsample_conv.{2 * i}", stage | {"weight_g": 2 * stage["weight_g"]})
    for k in range(flows):
        net = f"flows.{k}.coupling.net"
        weights |= named(f"{net}.front_conv.0.conv", conv_weights((channels, 1, 1, 1), draw))
        for layer in range(layers):
            block = f"{net}.res_blocks.{layer}"
            weights |= named(f"{block}.filter_gate_conv.conv", conv_weights((2 * channels, channels, 3, 3), draw))
            weights |= named(f"{block}.filter_gate_conv_c", conv_weights((2 * channels, mels, 1, 1), draw))
            weights |= named(f"{block}.res_skip_conv", conv_weights((2 * channels, channels, 1, 1), draw))
        out = {
            "weight": 0.2 * torch.randn(2, channels, 1, 1, generator=draw, dtype=torch.float64),
            "bias": 0.1 * torch.randn(2, generator=draw, dtype=torch.float64),
        }
        weights |= named(f"flows.{k}.coupling.proj_log_s_t.conv", out)
    return weights


def waveflow_upsampled(weights: dict, mel: Tensor, factors: list[int]) -> Tensor:
    image = mel[:, None]
    for i, u in enumerate(factors):
        weight, bias = effective(weights, f"upsample_conv.{2 * i}")
        image = F.conv_transpose2d(image, weight, bias, stride=(1, u), padding=(1, u // 2))
        image = torch.where(image > 0, image, 0.4 * image)
    return image[:, 0]


def row_orders(height: int, flows: int, bipartite: bool) -> list[list[int]]:
    backwards = list(range(height))[::-1]
    half = height // 2
    halves = list(range(half))[::-1] + list(range(half, height))[::-1]
    return [halves if bipartite and k >= flows // 2 else backwards for k in range(flows)]


def row_net(weights: dict, k: int, rows: Tensor, condition: Tensor, dilations: list[int]) -> tuple[Tensor, Tensor]:
    """(log_s, t) (B, R, W) from rows 0..R-1 of the waveform and 1..R of the conditioner (B, M, R, W)."""
    net = f"flows.{k}.coupling.net"
    hidden = F.conv2d(rows[:, None], *effective(weights, f"{net}.front_conv.0.conv"))
    channels, total = hidden.shape[1], 0.0
    for layer, dh in enumerate(dilations):
        block, dw = f"{net}.res_blocks.{layer}", 2**layer
        weight, bias = effective(weights, f"{block}.filter_gate_conv.conv")
        a = F.conv2d(F.pad(hidden, (dw, dw, 2 * dh, 0)), weight, bias, dilation=(dh, dw))
        a = a + F.conv2d(condition, *effective(weights, f"{block}.filter_gate_conv_c"))
        g = torch.tanh(a[:, :channels]) * torch.sigmoid(a[:, channels:])
        r = F.conv2d(g, *effective(weights, f"{block}.res_skip_conv"))
        hidden, total = hidden + r[:, :channels], total + r[:, channels:]
    out = f"flows.{k}.coupling.proj_log_s_t.conv"
    log_s_t = F.conv2d(total, weights[f"{out}.weight"], weights[f"{out}.bias"])
    return log_s_t[:, 0], log_s_t[:, 1]


def waveflow_forward(
    weights: dict, x: Tensor, mel: Tensor, height: int, dilations: list[int], bipartite: bool, factors: list[int]
) -> tuple[Tensor, Tensor]:
    """(z (B, h, w), log-det (B,)) of x whose length is a multiple of the height."""
    flows = sum(name.endswith("proj_log_s_t.conv.bias") for name in weights)
    rows = squeezed(x, height)
    condition = squeezed(waveflow_upsampled(weights, mel, factors)[..., : x.shape[1]], height)
    ladj = torch.zeros(len(x), dtype=x.dtype)
    for k, order in enumerate(row_orders(height, flows, bipartite)):
        log_s, t = row_net(weights, k, rows[:, :-1], condition[:, :, 1:], dilations)
        rows = torch.cat((rows[:, :1], rows[:, 1:] * log_s.exp() + t), dim=1)
        ladj = ladj + log_s.sum((1, 2))
        rows, condition = rows[:, order], condition[:, :, order]
    return rows, ladj


def waveflow_inverse(
    weights: dict, z: Tensor, mel: Tensor, height: int, dilations: list[int], bipartite: bool, factors: list[int]
) -> Tensor:
    """x (B, n) of z (B, h, w): row after row, everything computed anew."""
    flows = sum(name.endswith("proj_log_s_t.conv.bias") for name in weights)
    n = height * z.shape[2]
    condition = squeezed(waveflow_upsampled(weights, mel, factors)[..., :n], height)
    orders = row_orders(height, flows, bipartite)
    conditions = [condition]
    for order in orders:
        conditions.append(conditions[-1][:, :, order])
    for k in reversed(range(flows)):
        back = [orders[k].index(i) for i in range(height)]
        z, condition = z[:, back], conditions[k]
        rows = z[:, :1]
        for i in range(1, height):
            log_s, t = row_net(weights, k, rows, condition[:, :, 1 : i + 1], dilations)
            rows = torch.cat((rows, (z[:, i : i + 1] - t[:, -1:]) * (-log_s[:, -1:]).exp()), dim=1)
        z = rows
    return torch.stack([z[:, i % height, i // height] for i in range(n)], dim=1)


# WaveGlow


def waveglow_weights(
    groups: int, channels: int, flows: int, layers: int, mels: int, early: tuple[int, int], seed: int, **sizes
) -> dict:
    """`early`: after how many flows how many rows leave; `sizes`: `kernel`, `stride`, `taps`."""
    draw, taps = torch.Generator().manual_seed(seed), sizes.get("taps", WIDTH_TAPS)
    weights = {
        "upsample.weight": 0.2 * torch.randn(mels, mels, sizes["kernel"], generator=draw, dtype=torch.float64),
        "upsample.bias": 0.1 * torch.randn(mels, generator=draw, dtype=torch.float64),
    }
    rows = groups
    for k in range(flows):
        rows -= early[1] if k and k % early[0] == 0 else 0
        half, net = rows // 2, f"WN.{k}"
        rotation = torch.linalg.qr(torch.randn(rows, rows, generator=draw, dtype=torch.float64))[0]
        noise = 0.1 * torch.randn(rows, rows, generator=draw, dtype=torch.float64)
        weights[f"convinv.{k}.conv.weight"] = (rotation + noise)[..., None]
        weights |= named(f"{net}.start", conv_weights((channels, half, 1), draw))
        weights |= named(f"{net}.cond_layer", conv_weights((2 * channels * layers, mels * groups, 1), draw))
        for layer in range(layers):
            outs = channels if layer + 1 == layers else 2 * channels
            weights |= named(f"{net}.in_layers.{layer}", conv_weights((2 * channels, channels, taps), draw))
            weights |= named(f"{net}.res_skip_layers.{layer}", conv_weights((outs, channels, 1), draw))
        end = 0.2 * torch.randn(2 * half, channels, 1, generator=draw, dtype=torch.float64)
        weights |= {f"{net}.end.weight": end, f"{net}.end.bias": end[:, 0, 0].clone()}
    return weights


def waveglow_net(weights: dict, k: int, a: Tensor, condition: Tensor) -> Tensor:
    net = f"WN.{k}"
    hidden = F.conv1d(a, *effective(weights, f"{net}.start"))
    channels, total = hidden.shape[1], 0.0
    layers = sum(name.startswith(f"{net}.in_layers.") and name.endswith(".bias") for name in weights)
    conditions = F.conv1d(condition, *effective(weights, f"{net}.cond_layer"))
    for layer in range(layers):
        weight, bias = effective(weights, f"{net}.in_layers.{layer}")
        reach = weight.shape[2] // 2 * 2**layer
        acts = F.conv1d(hidden, weight, bias, dilation=2**layer, padding=reach)
        acts = acts + conditions[:, 2 * channels * layer : 2 * channels * (layer + 1)]
        g = torch.tanh(acts[:, :channels]) * torch.sigmoid(acts[:, channels:])
        r = F.conv1d(g, *effective(weights, f"{net}.res_skip_layers.{layer}"))
        if layer + 1 < layers:
            hidden, total = hidden + r[:, :channels], total + r[:, channels:]
        else:
            total = total + r
    return F.conv1d(total, weights[f"{net}.end.weight"], weights[f"{net}.end.bias"])


def waveglow_forward(
    weights: dict, x: Tensor, mel: Tensor, groups: int, early: tuple[int, int], stride: int
) -> tuple[Tensor, Tensor]:
    """(z (B, groups, w), log-det (B,)) of x whose length is a multiple of `groups`."""
    up = F.conv_transpose1d(mel, weights["upsample.weight"], weights["upsample.bias"], stride=stride)
    condition = squeezed(up[..., : x.shape[1]], groups).flatten(1, 2)
    rows, left, ladj = squeezed(x, groups), [], torch.zeros(len(x), dtype=x.dtype)
    for k in range(sum(name.startswith("convinv.") for name in weights)):
        if k and k % early[0] == 0:
            left.append(rows[:, : early[1]])
            rows = rows[:, early[1] :]
        matrix = weights[f"convinv.{k}.conv.weight"][..., 0]
        rows = matrix @ rows
        half = rows.shape[1] // 2
        out = waveglow_net(weights, k, rows[:, :half], condition)
        t, log_s = out[:, :half], out[:, half:]
        rows = torch.cat((rows[:, :half], rows[:, half:] * log_s.exp() + t), dim=1)
        ladj = ladj + log_s.sum((1, 2)) + rows.shape[2] * torch.linalg.slogdet(matrix)[1]
    return torch.cat((*left, rows), dim=1), ladj


def gaussian(z: Tensor) -> Tensor:
    """log N(z; 0, I), summed over all but the batch."""
    return (-0.5 * z**2 - 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)

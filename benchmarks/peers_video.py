"""VideoFlow by the strategies of its public code (tensor2tensor), on the weights of one of ours.

Written from their description, in PyTorch: frames are encoded one after another; every convolution is padded by hand,
with its indicator channel joined to the input, and its actnorm applied after it; the maps of the 1x1 convolutions are
put together, and inverted, each time they are used; the temporal net gets the level's mean tiled over the window and
computes all of its slots; sampling walks through all levels of a frame before the next frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.layers.flow_step import FlowStep
from flowsuite.core.nets.conv import EdgeConv2d, GlowNet
from flowsuite.video.predictions import gaussian_log_prob, soft_clamp
from flowsuite.video.sampler import Noise
from flowsuite.video.videoflow import VideoFlow
from flowsuite.video.window_prior import WindowPrior
from flowsuite.video.window_stack import WindowStack


def normed(x: Tensor, actnorm: ActNorm) -> Tensor:
    shape = (1, -1, 1, 1)
    return (x + actnorm.shift.view(shape)) * (3 * actnorm.scale).exp().view(shape)


def edge_conv(x: Tensor, conv: EdgeConv2d) -> Tensor:
    """Padding with an indicator behind the channels, a "valid" convolution, and what follows it."""
    weight = conv.weight
    if conv.edge_weight is not None:
        ring = F.pad(torch.zeros_like(x[:, :1]), [1] * 4, value=1.0)
        x = torch.cat((F.pad(x, [1] * 4), ring), dim=1)
        weight = torch.cat((weight, conv.edge_weight), dim=1)
    y = F.conv2d(x, weight)
    if conv.actnorm is not None:
        return normed(y, conv.actnorm)
    return (y + conv.bias.view(1, -1, 1, 1)) * (3 * conv.log_scale).exp().view(1, -1, 1, 1)


def coupling_net(x: Tensor, net: GlowNet) -> Tensor:
    h = F.relu(edge_conv(x, net.layers[0]))
    h = edge_conv(h, net.layers[1])
    if net.activation == "gatu":
        a, b = h.chunk(2, dim=1)
        h = torch.tanh(a) * torch.sigmoid(b)
    else:
        h = F.relu(h)
    return edge_conv(h, net.layers[2])


def kernel(step: FlowStep) -> Tensor:
    """The matrix of the 1x1 convolution, from its factors."""
    mixer = step.mixer
    unit = torch.eye(mixer.channels, device=mixer.lower.device, dtype=mixer.lower.dtype)
    upper = mixer.upper.triu(1) + torch.diag(mixer.sign * mixer.log_s.exp())
    return mixer.permutation @ (mixer.lower.tril(-1) + unit) @ upper


def step_forward(x: Tensor, step: FlowStep) -> tuple[Tensor, Tensor]:
    area = x.shape[2] * x.shape[3]
    x = normed(x, step.actnorm)
    x = F.conv2d(x, kernel(step).T[:, :, None, None])
    ladj = area * (3 * step.actnorm.scale.sum() + step.mixer.log_s.sum())
    first, second = x.chunk(2, dim=1)
    o = coupling_net(first, step.coupling.net)
    if o.shape[1] == second.shape[1]:
        return torch.cat((first, second + o), dim=1), ladj.expand(len(x))
    shift, h = o.chunk(2, dim=1)
    scale = torch.sigmoid(h + 2)
    return torch.cat((first, (second + shift) * scale), dim=1), ladj + scale.log().sum((1, 2, 3))


def step_inverse(z: Tensor, step: FlowStep) -> Tensor:
    first, second = z.chunk(2, dim=1)
    o = coupling_net(first, step.coupling.net)
    if o.shape[1] == second.shape[1]:
        second = second - o
    else:
        shift, h = o.chunk(2, dim=1)
        second = second / torch.sigmoid(h + 2) - shift
    x = F.conv2d(torch.cat((first, second), dim=1), torch.linalg.inv(kernel(step)).T[:, :, None, None])
    actnorm = step.actnorm
    return x / (3 * actnorm.scale).exp().view(1, -1, 1, 1) - actnorm.shift.view(1, -1, 1, 1)


def conv3d(x: Tensor, weight: Tensor, edge: Tensor, dilation: int) -> Tensor:
    """x (N, C, K, H, W) padded by hand, the indicator in front; kernels (out, time, in, 3, 3)."""
    time = weight.shape[1] - 1
    pad = [dilation] * 4 + [time, 0]
    ring = F.pad(torch.zeros_like(x[:, :1]), pad, value=1.0)
    x = torch.cat((ring, F.pad(x, pad)), dim=1)
    whole = torch.cat((edge, weight), dim=2).transpose(1, 2)
    return F.conv3d(x, whole, dilation=(1, dilation, dilation))


def normed_slots(x: Tensor, norms) -> Tensor:
    return torch.stack([normed(x[:, :, k], norm) for k, norm in enumerate(norms)], dim=2)


def stack(x: Tensor, net: WindowStack) -> Tensor:
    h = F.relu(normed_slots(conv3d(x, net.weight_in, net.edge_in, net.dilation), net.norm_in))
    h = normed_slots(F.conv3d(h, net.weight_middle.unsqueeze(2)), net.norm_middle)
    if net.activation == "gatu":
        a, b = h.chunk(2, dim=1)
        h = torch.tanh(a) * torch.sigmoid(b)
    else:
        h = F.relu(h)
    y = conv3d(h, net.weight_out.transpose(0, 1), net.edge_out.transpose(0, 1), net.dilation)
    shape = (1, -1, 1, 1, 1)
    return (y + net.bias.view(shape)) * (3 * net.log_scale).exp().view(shape)


class PublicVideoFlow:
    """Density and sampling of a `VideoFlow` with a windowed Gaussian prior."""

    def __init__(self, flow: VideoFlow):
        self.flow, self.steps = flow, [list(level[1]) for level in flow.frames.levels]

    def encode(self, x: Tensor) -> tuple[list[Tensor], list[Tensor | None], Tensor]:
        """One frame (N, C, H, W)."""
        latents, above, total = [], [], 0.0
        for level, steps in enumerate(self.steps):
            x = F.pixel_unshuffle(x, 2)
            for step in steps:
                x, ladj = step_forward(x, step)
                total = total + ladj
            if level + 1 < len(self.steps):
                x, z = x.chunk(2, dim=1)
                latents, above = [*latents, z], [*above, x]
        return [*latents, x], [*above, None], total

    def invert_level(self, level: int, x: Tensor) -> Tensor:
        for step in reversed(self.steps[level]):
            x = step_inverse(x, step)
        return F.pixel_shuffle(x, 2)

    def predict(self, prior: WindowPrior, past: list[Tensor], above: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log sigma from K latents (N, C, H, W)."""
        x = torch.stack(past, dim=2)
        if above is not None:
            m = edge_conv(above, prior.mean).unsqueeze(2).expand(-1, -1, len(past), -1, -1)
            edge_conv(above, prior.log_std)  # the published prior of a level computes both, and uses one
            x = torch.cat((x, m), dim=1)
        for block in prior.net.blocks:
            x = x + sum(stack(x, net) for net in block)
        delta, log_std = edge_conv(x[:, :, -1], prior.net.last).chunk(2, dim=1)
        return (past[-1] + delta if prior.skip else delta), soft_clamp(log_std, prior.form.bound)

    def last_frame_log_prob(self, x: Tensor) -> Tensor:
        """Nats of the last frame of windows (B, K + 1, C, H, W), all frames encoded one by one: (B,)."""
        encoded = [self.encode(frame) for frame in x.unbind(1)]
        *before, (latents, above, total) = encoded
        for level, prior in enumerate(self.flow.priors):
            mean, log_std = self.predict(prior, [z[level] for z, _, _ in before], above[level])
            total = total + gaussian_log_prob(latents[level], mean, log_std)
        return total

    @torch.no_grad()
    def sample(self, context: Tensor, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Frame-major: (N, K, C, H, W), a row for each sample, to (N, T, C, H, W)."""
        history = [self.encode(frame)[0] for frame in context.unbind(1)]
        frames = []
        for t in range(noise.eps[0].shape[1]):
            x, drawn = None, []
            for level in range(len(self.steps) - 1, -1, -1):
                past = [z[level] for z in history[-self.flow.past :]]
                mean, log_std = self.predict(self.flow.priors[level], past, x)
                z = mean + temperature * log_std.exp() * noise.eps[level][:, t]
                drawn.insert(0, z)
                x = self.invert_level(level, z if x is None else torch.cat((x, z), dim=1))
            history.append(drawn)
            frames.append(x)
        return torch.stack(frames, dim=1)

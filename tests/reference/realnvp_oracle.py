"""The published RealNVP written down naively, by its own variable names: NHWC, one function a scope, nothing shared."""

import math

import torch
import torch.nn.functional as F


class Oracle:
    """Encodes with `variables` (name -> tensor); with `create=True` draws the variables it meets for the first time."""

    def __init__(self, config, variables=None, seed=0):
        self.config = {"use_batch_norm": 1, "skip": 1, "bottleneck": 0, "use_aff": 1, "bn_lag": 0.0, **config}
        self.create = variables is None
        self.variables = {} if variables is None else {k: v.double() for k, v in variables.items()}
        self.moved = {}
        self.generator = torch.Generator().manual_seed(seed)

    def variable(self, name, shape, low=-0.5, high=0.5):
        if self.create and name not in self.variables:
            u = torch.rand(shape, generator=self.generator, dtype=torch.float64)
            self.variables[name] = low + (high - low) * u
        value = self.variables[name]
        assert tuple(value.shape) == tuple(shape), (name, value.shape, shape)
        return value

    def conv(self, x, name, k, n_out, bias, magnitude):
        w = self.variable(f"{name}/weights", (k, k, x.shape[3], n_out))
        w = w / w.square().sum(dim=(0, 1, 2)).sqrt()
        if magnitude:
            w = w * self.variable(f"{name}/magnitude", (n_out,), 0.5, 1.5)
        y = F.conv2d(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), padding=k // 2).permute(0, 2, 3, 1)
        return y + self.variable(f"{name}/biases", (n_out,)) if bias else y

    def moments(self, x, name, train):
        """Mean and variance to normalise with; remembers the moving averages after a training pass."""
        channels, lag = x.shape[3], self.config["bn_lag"]
        mean = self.variable(f"{name}/mean", (channels,))
        var = self.variable(f"{name}/var", (channels,), 0.5, 2.0)
        step = self.variable(f"{name}/step", (), 3.0, 3.0)
        if not train:
            return mean, var
        batch_mean = x.mean(dim=(0, 1, 2))
        batch_var = (x - batch_mean).square().mean(dim=(0, 1, 2))
        self.moved[f"{name}/mean"] = 0.9 * mean + 0.1 * batch_mean
        self.moved[f"{name}/var"] = 0.9 * var + 0.1 * batch_var
        if not lag:
            return batch_mean, batch_var
        correction = 1 - lag ** (step + 1)
        used_mean = (lag * batch_mean + (1 - lag) * mean) / correction
        return used_mean, (lag * batch_var + (1 - lag) * var) / correction

    def norm(self, x, name, train):
        if not self.config["use_batch_norm"]:
            return x
        mean, var = self.moments(x, name, train)
        return (x - mean) / torch.sqrt(var + 1e-4) + self.variable(f"{name}/beta", (x.shape[3],))

    def tail(self, x, name, dim, n_out, train):
        """What a block and a net without blocks have in common: from the first convolution on."""
        plain = not self.config["use_batch_norm"]
        kernels = (1, 3, 1) if self.config["bottleneck"] else (3, 3)
        for i, k in enumerate(kernels[:-1]):
            x = self.conv(x, f"{name}/h_{i}", k, dim, plain, False)
            x = F.relu(self.norm(x, f"{name}/bn_{i}", train))
        return self.conv(x, f"{name}/out", kernels[-1], n_out, True, True)

    def resnet(self, x, name, dim, n_out, train):
        blocks, skip = self.config["residual_blocks"], self.config["skip"]
        if not blocks:
            return self.tail(x, name, dim, n_out, train)
        h = self.conv(x, f"{name}/h_in", 3, dim, True, False)
        out = self.conv(h, f"{name}/skip_in", 1, dim, True, True) if skip else None
        for i in range(blocks):
            inner = F.relu(self.norm(h, f"{name}/block_{i}/bn_in", train))
            h = h + self.tail(inner, f"{name}/block_{i}", dim, dim, train)
            if skip:
                out = out + self.conv(h, f"{name}/skip_{i}", 1, dim, True, True)
        h = F.relu(self.norm(out if skip else h, f"{name}/bn_pre_out", train))
        return self.conv(h, f"{name}/out", 1, n_out, True, True)

    def parameters_of(self, v, extra, name, dim, affine, scale_name, train):
        """Shift and log-scale, from what conditions."""
        channels = v.shape[3]
        normed = self.norm(v, f"{name}/bn_in", train)
        if self.config["use_batch_norm"] and extra:
            normed = 2 * normed
        h = F.relu(torch.cat([normed, -normed, *extra], dim=3))
        h = self.resnet(h, f"{name}/resnet", dim, channels * (2 if affine else 1), train)
        if not affine:
            return h, torch.zeros_like(h)
        shift, log_scale = h[..., :channels], h[..., channels:]
        log_scale = self.variable(f"{name}/{scale_name}", (), 0.3, 0.9) * torch.tanh(log_scale)
        if not self.config["use_batch_norm"]:
            log_scale = log_scale + self.variable(f"{name}/scale_shift", ())
        return shift, log_scale

    def masked(self, x, parity, name, dim, affine, train):
        n, height, width, _ = x.shape
        b = torch.tensor([[float((parity + i + j) % 2) for j in range(width)] for i in range(height)]).double()
        b = b[None, :, :, None].expand(n, -1, -1, 1)
        shift, log_scale = self.parameters_of(x * b, [b], name, dim, affine, "rescaling_scale", train)
        shift, log_scale = shift * (1 - b), log_scale * (1 - b)
        y, log_diff = (x + shift) * torch.exp(log_scale), log_scale
        if self.config["use_batch_norm"]:
            mean, var = self.moments(y * (1 - b), f"{name}/bn_out", train)
            y = (y - mean * (1 - b)) * torch.exp(-0.5 * torch.log(var + 1e-4) * (1 - b))
            log_diff = log_diff - 0.5 * torch.log(var + 1e-4) * (1 - b)
        return y, log_diff.sum(dim=(1, 2, 3))

    def channelwise(self, x, change_bottom, name, dim, affine, train):
        half = x.shape[3] // 2
        first, second = x[..., :half], x[..., half:]
        kept, y = (first, second) if change_bottom else (second, first)
        shift, log_scale = self.parameters_of(kept, [], name, dim, affine, "scale", train)
        y, log_diff = (y + shift) * torch.exp(log_scale), log_scale
        if self.config["use_batch_norm"]:
            mean, var = self.moments(y, f"{name}/bn_out", train)
            y, log_diff = (y - mean) / torch.sqrt(var + 1e-4), log_diff - 0.5 * torch.log(var + 1e-4)
        return torch.cat([kept, y] if change_bottom else [y, kept], dim=3), log_diff.sum(dim=(1, 2, 3))

    def encode(self, x, train, scale=0):
        """Logits (N, H, W, C) to latents in the same layout, and log-dets (N,)."""
        name, aff = f"model/scale_{scale}", bool(self.config["use_aff"])
        dim, total = self.config["base_dim"] * 2**scale, 0
        for k, parity in enumerate((1, 0, 1)):
            x, ladj = self.masked(x, parity, f"{name}/coupling_{k}", dim, aff or k == 2, train)
            total = total + ladj
        if scale == self.config["n_scale"] - 1:
            x, ladj = self.masked(x, 0, f"{name}/coupling_3", dim, True, train)
            return x, total + ladj
        n, height, width, channels = x.shape
        cells = x.reshape(n, height // 2, 2, width // 2, 2, channels).permute(0, 1, 3, 5, 2, 4)
        x = cells.reshape(n, height // 2, width // 2, 4 * channels)
        for k, bottom in enumerate((True, False, True)):
            x, ladj = self.channelwise(x, bottom, f"{name}/coupling_{4 + k}", 2 * dim, aff or k == 2, train)
            total = total + ladj
        cells = x.reshape(n, height // 2, width // 2, channels, 2, 2)
        kept, ladj = self.encode(torch.cat([cells[..., 0, 0], cells[..., 1, 1]], dim=3), train, scale + 1)
        diagonal, other = kept.chunk(2, dim=3)
        z = torch.empty(n, height, width, channels, dtype=x.dtype)
        z[:, 0::2, 0::2], z[:, 1::2, 1::2] = diagonal, other
        z[:, 0::2, 1::2], z[:, 1::2, 0::2] = cells[..., 0, 1], cells[..., 1, 0]
        return z, total + ladj


def prior_log_prob(z):
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=(1, 2, 3))

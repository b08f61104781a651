"""Evaluation of image flows: bits/dim in its three forms, by level, round-trip error, FID."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from flowsuite.core.objective import bits_per_dim, importance_weighted_bound
from flowsuite.core.training.loader import FlowLoader
from flowsuite.images.features import ThreeChannels, load_feature_network
from flowsuite.images.flow import ImageFlow
from flowsuite.images.levels import encode_levels, has_levels


@dataclass
class BitsPerDim:
    """Bits per dimension of a set of images; figures at different `n_bits` do not compare.

    Attributes:
        n_bits: depth of the modelled pixels.
        images, draws, seed: how many images, dequantisation draws of each, and the seed of the draws.
        one_draw: mean over images with the first draw (what papers report).
        one_draw_error: its standard error over images.
        mean: mean over images and all draws.
        mean_error: its standard error over images.
        importance_weighted: from `logsumexp_k(log w_k) - log K` per image, a tighter bound than `mean`.
        importance_weighted_error: its standard error over images.
        levels: contribution of each level to `mean`, for multi-scale flows.
    """

    n_bits: int
    images: int
    draws: int
    seed: int
    one_draw: float
    one_draw_error: float
    mean: float
    mean_error: float
    importance_weighted: float
    importance_weighted_error: float
    levels: list[float] = field(default_factory=list)

    def as_dict(self) -> dict:
        return asdict(self)

    def table(self) -> str:
        """The figures, one a line, each with its depth."""
        unit = f"bits/dim at {self.n_bits} bits"
        lines = [f"{'one draw':<28}{self.one_draw:9.4f} +- {self.one_draw_error:.4f}  {unit}"]
        if self.draws > 1:
            lines.append(f"{f'mean of {self.draws} draws':<28}{self.mean:9.4f} +- {self.mean_error:.4f}  {unit}")
            label = f"importance-weighted, K={self.draws}"
            lines.append(f"{label:<28}{self.importance_weighted:9.4f} +- {self.importance_weighted_error:.4f}  {unit}")
        lines += [f"{f'  of it, level {i}':<28}{bits:9.4f}{'':12}{unit}" for i, bits in enumerate(self.levels, 1)]
        lines.append(f"{self.images} images, noise seed {self.seed}; +- is the standard error over images")
        return "\n".join(lines)


def batches(dataset, batch_size: int, progress: str = "", num_workers: int = 0) -> Iterator:
    """Batches of a data set in its order, with a progress bar if `progress` names one."""
    from tqdm import tqdm

    loader = FlowLoader(dataset, batch_size, "test", num_workers=num_workers)
    return iter(tqdm(loader, desc=progress, unit="batch", disable=not progress))


def halve_on_out_of_memory(function, x: Tensor, context: Tensor | None):
    """`function(x, context)`, in halves (recursively) if the device has not the memory; results are concatenated."""
    try:
        return function(x, context)
    except torch.OutOfMemoryError:
        if len(x) == 1:
            raise
    torch.cuda.empty_cache()
    middle = len(x) // 2
    pieces = [
        halve_on_out_of_memory(function, x[part], None if context is None else context[part])
        for part in (slice(None, middle), slice(middle, None))
    ]
    return torch.cat(pieces)


@torch.no_grad()
def evaluate_bits(
    flow: ImageFlow, dataset, draws: int = 1, batch_size: int = 64, seed: int = 0, progress: bool = False
) -> BitsPerDim:
    """Bits/dim of every image of `dataset`, with `draws` dequantisation draws each.

    The noise of draw k of a batch is seeded by (seed, batch, k): the figure is the same on every run with one
    `batch_size`, and the generators of the caller are left as they were.

    Args:
        flow: in evaluation mode.
        dataset: items `(uint8 image, label)`.
        draws: K.
        batch_size: images at a time; halved where the device runs out of memory.
        seed: of the noise.
        progress: show a progress bar.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    if flow.training:
        raise ValueError("bits/dim must be measured in evaluation mode: call flow.eval() first")
    device = flow.base.anchor.device
    multiscale = has_levels(flow)

    def log_prob(x: Tensor, context: Tensor | None) -> Tensor:
        """(N, L) by level, or (N, 1)."""
        return encode_levels(flow, x, context)[0] if multiscale else flow.log_prob(x, context)[:, None]

    rows = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for i, (x, labels) in enumerate(batches(dataset, batch_size, "bits/dim" if progress else "")):
            x, context = x.to(device), labels.to(device) if flow.n_classes else None
            draws_of_batch = []
            for k in range(draws):
                torch.manual_seed((seed * 1_000_003 + i) * 1_009 + k)
                draws_of_batch.append(halve_on_out_of_memory(log_prob, x, context).double())
            rows.append(torch.stack(draws_of_batch).cpu())
    return summarize_bits(torch.cat(rows, dim=1), flow, draws, seed, multiscale)


def summarize_bits(levels: Tensor, flow: ImageFlow, draws: int, seed: int, multiscale: bool) -> BitsPerDim:
    """The figures from log-likelihoods (draws, images, levels) in nats."""
    total = levels.sum(-1)
    forms = {"one_draw": total[0], "mean": total.mean(0), "importance_weighted": importance_weighted_bound(total)}
    figures = {}
    for name, nats in forms.items():
        bits = bits_per_dim(nats, flow.dims)
        figures[name] = bits.mean().item()
        figures[f"{name}_error"] = bits.std().item() / math.sqrt(len(bits)) if len(bits) > 1 else math.nan
    contributions = bits_per_dim(levels.mean((0, 1)), flow.dims).tolist() if multiscale else []
    return BitsPerDim(flow.n_bits, total.shape[1], draws, seed, **figures, levels=contributions)


@torch.no_grad()
def round_trip_error(flow: ImageFlow, x: Tensor, context: Tensor | None = None) -> tuple[float, float]:
    """`max |y - decode(encode(y))|` on pixel centres `y`, in units of [0, 1), and the fraction of wrong pixels."""
    y = flow.dequantize.center(x)
    continuous = flow.continuous
    back = continuous.decode(continuous.encode(y, context), context)
    wrong = (flow.dequantize.generate(back) != flow.dequantize.generate(y)).float().mean()
    return (back - y).abs().max().item(), wrong.item()


@torch.no_grad()
def frechet_inception_distance(
    real, generate, n: int, features: nn.Module | str | None, batch_size: int = 64, progress: bool = False
) -> float:
    """Frechet distance between features of `n` generated images and of real ones (arXiv 1706.08500), by torchmetrics.

    Published figures use 50,000 samples, training statistics and the last pooling of Inception-v3.

    Args:
        real: data set of `(uint8 image, label)`.
        generate: from a number to so many uint8 images (N, C, H, W).
        n: generated images.
        features: module from uint8 (N, 3, H, W) to (N, F), or a file as `load_feature_network` takes; no default.
        batch_size: images at a time.
        progress: show a progress bar.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    if features is None:
        raise ValueError("FID needs a feature network: give a module or the path of its file")
    network = load_feature_network(features) if isinstance(features, str) else features.eval()
    first = generate(min(2, n))
    network = ThreeChannels(network).to(first.device)
    width = network(first).shape[-1]
    if min(n, len(real)) < 2:
        raise ValueError(f"FID needs at least 2 images on either side, got {len(real)} real and {n} generated")
    network.num_features = width
    metric = FrechetInceptionDistance(feature=network, normalize=False).to(first.device)
    for x, _ in batches(real, batch_size, "real features" if progress else ""):
        metric.update(x.to(first.device), real=True)
    done = 0
    while done < n:
        count = min(batch_size, n - done)
        metric.update(generate(count), real=False)
        done += count
    return float(metric.compute())

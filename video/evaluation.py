"""What is measured of a VideoFlow: likelihood, the best of N samples, diversity, and what became of moving shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from flowsuite.video.generation import sample_videos
from flowsuite.video.metrics.best_of_n import best_of_n
from flowsuite.video.metrics.bits import discrete_log_prob, summarize_bits
from flowsuite.video.metrics.diversity import PAPER_SAMPLES, pixel_diversity, vgg_diversity
from flowsuite.video.metrics.frechet import frechet_distance
from flowsuite.video.metrics.networks import i3d_logits, load_i3d, load_vgg, vgg_cosine
from flowsuite.video.metrics.pixels import FRAME_METRICS, frame_metrics
from flowsuite.video.metrics.proxy import proxy_features
from flowsuite.video.metrics.shapes import SHAPE_FRAME, shape_report
from flowsuite.video.module import VideoModule
from flowsuite.video.tools import generator_for

HEADINGS = {name: heading for name, (heading, _) in FRAME_METRICS.items()} | {"vgg_cosine": "VGG cosine"}
WIDTH = 50  # of the titles in the printed report
Part = dict[str, Tensor]


@dataclass
class Protocol:
    """How a model is evaluated.

    Attributes:
        given: frames of context.
        frames: predicted frames.
        samples: of every video.
        draws: of dequantisation noise, for the likelihood.
        temperature: of the samples, one number or one a level.
        seed: of all noise.
        shapes: measure moving shapes.
        vgg, i3d: files of networks, "" for none.
        at_once: videos generated together.
    """

    given: int
    frames: int
    samples: int = 100
    draws: int = 1
    temperature: float | list[float] = 1.0
    seed: int = 0
    shapes: bool = False
    vgg: str = ""
    i3d: str = ""
    at_once: int = 64
    networks: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def network(self, name: str):
        """The VGG or I3D of the user, loaded once; None without."""
        path = getattr(self, name)
        if path and name not in self.networks:
            self.networks[name] = {"vgg": load_vgg, "i3d": load_i3d}[name](path)
        return self.networks.get(name)


@torch.no_grad()
def evaluate_part(module: VideoModule, frames: Tensor, protocol: Protocol, number: int) -> Part:
    """Everything that is measured of some videos (V, T, C, H, W) uint8; the noise is a function of `number`."""
    nats = score(module, frames, protocol, number)
    if not protocol.samples:
        return {"nats": nats}
    context, truth = frames[:, : protocol.given], frames[:, protocol.given :]
    generator = generator_for(module, protocol.seed, "samples", number)
    settings = (protocol.frames, protocol.samples, protocol.temperature, generator, protocol.at_once)
    samples = sample_videos(module, context, *settings)
    return {"nats": nats, **compare(context, truth, samples, protocol)}


def score(module: VideoModule, frames: Tensor, protocol: Protocol, number: int) -> Tensor:
    """Nats (draws, V, frames) of the discrete frames behind the context, each given all before it."""
    generator = generator_for(module, protocol.seed, "bits", number)
    frames = frames.to(module.device)
    draws = []
    for _ in range(protocol.draws):
        x = module.dequantize(frames, generator)
        draws.append(discrete_log_prob(module.flow.frame_log_prob(x, protocol.given), module.flow.dims))
    return torch.stack(draws).double().cpu()


def compare(context: Tensor, truth: Tensor, samples: Tensor, protocol: Protocol) -> Part:
    """Frame metrics (V, N, T), diversity (V,) and features of samples (V, N, T, C, H, W) of the frames to predict."""
    part = {}
    for name in frame_metrics(truth):
        # One video at a time: windows of all samples of a batch at once would take gigabytes.
        values = [FRAME_METRICS[name][1](x, y) for x, y in zip(truth, samples, strict=True)]
        part[name] = torch.stack(values).double()
    if samples.shape[1] > 1:
        part["pixel_diversity"] = pixel_diversity(samples[:, :PAPER_SAMPLES]).double()
    real, made = torch.cat([context, truth], 1), torch.cat([context, samples[:, 0]], 1)
    part["proxy_real"], part["proxy_made"] = proxy_features(real), proxy_features(made)
    if (vgg := protocol.network("vgg")) is not None:
        part["vgg_cosine"] = torch.stack([vgg_cosine(vgg, x, y) for x, y in zip(truth, samples, strict=True)]).double()
        if samples.shape[1] > 1:
            part["vgg_diversity"] = vgg_diversity(vgg, samples[:, :PAPER_SAMPLES]).double()
    if (i3d := protocol.network("i3d")) is not None:
        part["i3d_real"], part["i3d_made"] = i3d_logits(i3d, real), i3d_logits(i3d, made)
    if protocol.shapes:
        last = min(samples.shape[2] - 1, SHAPE_FRAME - protocol.given)
        part["shape_context"], part["shape_samples"] = context[:, -1], samples[:, :, last]
    return part


def summarize(parts: list[Part], dims: int, protocol: Protocol) -> dict[str, Any]:
    """The report of all parts, as data for JSON."""
    whole = {name: torch.cat([part[name] for part in parts], int(name == "nats")) for name in parts[0]}
    bits = summarize_bits(whole["nats"], dims)
    report: dict[str, Any] = {
        "videos": bits.videos,
        "given": protocol.given,
        "frames": protocol.frames,
        "samples": protocol.samples,
        "temperature": protocol.temperature,
        "seed": protocol.seed,
        "bits_per_dim": bits.as_dict(),
        "best_of_n": {},
    }
    for name in HEADINGS:
        if name in whole:
            curves = best_of_n(whole[name].transpose(0, 1))
            figures = {key: getattr(curves, key) for key in ("best", "mean", "worst", "std")}
            report["best_of_n"][name] = {key: curve.mean().item() for key, curve in figures.items()} | {
                f"{key}_by_frame": curve.tolist() for key, curve in figures.items()
            }
    for name in ("pixel_diversity", "vgg_diversity"):
        if name in whole:
            report[name] = whole[name].mean().item()
    if bits.videos > 1:
        for title, features in (("random_3d_frechet", "proxy"), ("fvd", "i3d")):
            if f"{features}_real" in whole:
                report[title] = frechet_distance(whole[f"{features}_real"], whole[f"{features}_made"])
    if "shape_context" in whole:
        report["shapes"] = shape_report(whole["shape_context"], whole["shape_samples"]).as_dict()
    return report


def format_report(report: dict[str, Any]) -> str:
    """The report in lines of equal width."""
    bits, n = report["bits_per_dim"], report["samples"]
    lines = [
        f"{report['videos']} videos, {report['given']} frames given, {report['frames']} predicted",
        row("bits/dim, one draw", bits["one_draw"], bits["one_draw_error"]),
    ]
    if bits["draws"] > 1:
        lines.append(row(f"bits/dim, mean of {bits['draws']} draws", bits["mean"], bits["mean_error"]))
        label = f"bits/dim, importance-weighted, K={bits['draws']}"
        lines.append(row(label, bits["importance_weighted"], bits["importance_weighted_error"]))
    if not n:
        return "\n".join(lines)
    lines.append(f"{n} samples of each video, temperature {report['temperature']}")
    lines.append(f"{'':<{WIDTH}}{'best':>10}{'mean':>10}{'worst':>10}")
    for name, values in report["best_of_n"].items():
        lines.append(
            f"{HEADINGS[name]:<{WIDTH}}" + "".join(f"{values[key]:10.4f}" for key in ("best", "mean", "worst"))
        )
    titles = {
        "pixel_diversity": f"diversity, RMS of {min(n, PAPER_SAMPLES)} samples' pairs, grey levels",
        "vgg_diversity": f"diversity, VGG distance of {min(n, PAPER_SAMPLES)} samples' pairs",
        "fvd": "FVD (your I3D)",
        "random_3d_frechet": "Frechet distance, random 3-D net (not FVD)",
    }
    lines += [row(title, report[name]) for name, title in titles.items() if name in report]
    return "\n".join(lines + format_shapes(report.get("shapes")))


def format_shapes(shapes: dict[str, Any] | None) -> list[str]:
    if shapes is None:
        return []
    return [
        row("directions hit, of 8 (mean over contexts)", 8 * shapes["coverage"]),
        row("directions hit, of 8 (worst context)", 8 * shapes["least_coverage"]),
        row("entropy of directions, nats (log 8 = 2.079)", shapes["entropy"]),
        *(row(f"{name} kept", shapes[f"{name}_kept"]) for name in ("shape", "colour", "size", "all")),
    ]


def row(title: str, value: float, error: float | None = None) -> str:
    return f"{title:<{WIDTH}}{value:10.4f}" + (plus_minus(error))


def plus_minus(error: float | None) -> str:
    """A standard error behind its figure; nothing where there is none, as for a single video."""
    return "" if error is None or math.isnan(error) else f" +- {error:.4f}"

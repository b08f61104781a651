"""VideoFlow's training and sampling beside the strategies of its public code; memory against depth."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.memory import saved_bytes
from benchmarks.peers_video import PublicVideoFlow
from benchmarks.table import Column, Table
from benchmarks.timing import medians
from flowsuite.video.sampler import draw_noise
from flowsuite.video.videoflow import VideoFlow

# name -> changes to the published quantitative set-up; the published size itself is for GPUs
SMALL = {"video_shape": (3, 64, 64), "steps": 4, "width": 64, "prior_blocks": 1, "prior_width": 64}
CONFIGURATIONS = {
    "cpu": {
        "4 steps, width 64": SMALL,
        "8 steps, width 128": {**SMALL, "steps": 8, "width": 128, "prior_blocks": 2, "prior_width": 128},
    },
    "cuda": {"4 steps, width 64": SMALL, "published": {}},
}
CLIP, CONTEXT, NEW, SAMPLES = 13, 3, 10, 16
DEPTHS = (2, 8, 32)


def made(device: str, **changes) -> VideoFlow:
    """A model with small random last maps, as after some training: with zeros all would be trivial."""
    torch.manual_seed(0)
    flow = VideoFlow.published("bair-quant", **changes).to(device)
    flow.initialize(clips(flow, 2, 4))
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            if not parameter.any() and "weight" in name:
                nn.init.normal_(parameter, std=0.002)
    return flow


def clips(flow: VideoFlow, batch: int, frames: int) -> Tensor:
    return torch.rand(batch, frames, *flow.video_shape, device=flow.base.anchor.device) - 0.5


def gradient(flow: VideoFlow, log_prob: Callable[[], Tensor]) -> Callable[[], None]:
    def run():
        flow.zero_grad(set_to_none=True)
        (-log_prob().mean()).backward()

    return run


def training(args: argparse.Namespace) -> Iterator[Table]:
    """Milliseconds of a gradient for each scored frame."""
    rows = []
    for name, changes in configurations(args).items():
        flow, causal = made(args.device, **changes).train(), made(args.device, **changes, prior="causal").train()
        public, x = PublicVideoFlow(flow), clips(flow, 1, CLIP)
        windows = x[:, : CONTEXT + 1]
        check_density(public, flow, windows)
        contenders = {
            "ours, clips of 13": (gradient(flow, lambda f=flow, x=x: f.frame_log_prob(x, CONTEXT)), NEW),
            "ours, windows of 4": (gradient(flow, lambda f=flow, w=windows: f.frame_log_prob(w, CONTEXT)), 1),
            "ours, causal prior": (gradient(causal, lambda f=causal, x=x: f.frame_log_prob(x, CONTEXT)), NEW),
            "public strategy": (gradient(flow, lambda p=public, w=windows: p.last_frame_log_prob(w)), 1),
        }
        times = medians({who: run for who, (run, _) in contenders.items()}, args.rounds, warmup=1)
        each = {who: times[who] / scored for who, (_, scored) in contenders.items()}
        base = each["public strategy"]
        rows += [[name, who, t, base / t] for who, t in each.items()]
    columns = [*map(Column, ("configuration", "who")), Column("per scored frame", "ms", ".0f")]
    columns.append(Column("speed-up", "", ".1f"))
    yield Table("Training step (density and gradient), 64x64x3, one clip", columns, rows)


@torch.no_grad()
def check_density(public: PublicVideoFlow, flow: VideoFlow, windows: Tensor) -> None:
    """That both are the same model."""
    ours = flow.frame_log_prob(windows, CONTEXT)[:, 0]
    torch.testing.assert_close(public.last_frame_log_prob(windows), ours, rtol=1e-4, atol=1.0)


def sampling(args: argparse.Namespace) -> Iterator[Table]:
    """Seconds for 10 frames of 16 samples of one context, which all see the same noise."""
    rows = []
    for name, changes in configurations(args).items():
        flow, causal = made(args.device, **changes).eval(), made(args.device, **changes, prior="causal").eval()
        public, context = PublicVideoFlow(flow), clips(flow, 1, CONTEXT)
        noise = draw_noise(flow, SAMPLES, NEW, None)
        repeated = context.expand(SAMPLES, -1, -1, -1, -1)
        first = draw_noise(flow, 2, 1, None)
        found = flow.sample(context, 1, 2, noise=first)[0]
        torch.testing.assert_close(found, public.sample(repeated[:2], first), rtol=1e-3, atol=1e-3)
        contenders = {
            "ours, published prior": lambda f=flow, c=context, n=noise: f.sample(c, NEW, SAMPLES, noise=n),
            "ours, causal prior": lambda f=causal, c=context, n=noise: f.sample(c, NEW, SAMPLES, noise=n),
            "public strategy": lambda p=public, c=repeated, n=noise: p.sample(c, n),
        }
        times = medians(contenders, min(args.rounds, 3), warmup=1)
        base = times["public strategy"]
        rows += [[name, who, t / 1e3, base / t] for who, t in times.items()]
    columns = [*map(Column, ("configuration", "who")), Column("time", "s", ".2f"), Column("speed-up", "", ".1f")]
    yield Table(f"Sampling {NEW} frames x {SAMPLES} samples of one context of {CONTEXT}", columns, rows)


def memory(args: argparse.Namespace) -> Table:
    """What autograd keeps, by the number of flow steps a level and of prior blocks."""
    rows = []
    for depth in DEPTHS:
        row = [depth]
        for prior in ("window", "causal"):
            for reversible in (False, True):
                sizes = {"video_shape": (3, 16, 16), "levels": 2, "width": 32, "prior_width": 32}
                depths = {"steps": depth, "prior_blocks": depth}
                flow = made(args.device, **sizes, **depths, prior=prior, reversible=reversible).train()
                x = clips(flow, 1, 6)
                kept = saved_bytes(flow, lambda f=flow, x=x: -f.frame_log_prob(x, CONTEXT).mean())
                row.append(kept / 2**20)
        rows.append(row)
    kinds = [f"{prior}, {how}" for prior in ("window", "causal") for how in ("plain", "reversible")]
    columns = [Column("steps and blocks"), *(Column(kind, "MiB", ".1f") for kind in kinds)]
    return Table("Memory that autograd keeps, by depth (16x16x3, L2, width 32)", columns, rows)


def configurations(args: argparse.Namespace) -> dict[str, dict]:
    return CONFIGURATIONS["cuda" if args.device.startswith("cuda") else "cpu"]


def tables(args: argparse.Namespace) -> Iterator[Table]:
    args.rounds = min(args.rounds, 5)
    yield from training(args)
    yield from sampling(args)
    yield memory(args)

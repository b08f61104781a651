"""WaveFlow's synthesis and training beside the strategies of its public code, and WaveGlow."""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.peers_audio import PublicWaveFlow
from benchmarks.table import Column, Table
from benchmarks.timing import medians, synchronize
from flowsuite.audio.row_autoregressive import RowAutoregressive
from flowsuite.audio.vocoder import Vocoder
from flowsuite.audio.waveflow import WaveFlow
from flowsuite.audio.waveglow import WaveGlow

RATE, HOP, CROP = 22050, 256, 16000
CONFIGURATIONS = {"h=16 C=64": (16, 64), "h=8 C=64": (8, 64), "h=16 C=128": (16, 128)}
SECONDS = (1, 10)
GLOW = 256  # channels of the WaveGlow
PUBLISHED = "h=16 C=64"  # the configuration of the aims, timed against every strategy


def randomized(flow: Vocoder, device: str) -> Vocoder:
    """The flow with small random last maps, as after some training: with zeros all would be trivial."""
    torch.manual_seed(0)
    for module in flow.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.01)
    return flow.to(device).eval()


def mels(seconds: float, device: str, batch: int = 1) -> Tensor:
    return torch.randn(batch, 80, math.ceil(seconds * RATE / HOP), device=device)


def flops_per_sample(height: int, channels: int, layers: int = 8, flows: int = 8) -> float:
    """Of the published network as it is written down (sheet: 40 C^2 + 320 C per layer and row)."""
    return (height - 1) / height * flows * layers * (40 * channels**2 + 320 * channels)


def product_rate(device: str) -> float:
    """FLOP/s of a large float32 matrix product here."""
    a, b = torch.randn(512, 1024, device=device), torch.randn(1024, 4096, device=device)
    return 2 * 512 * 1024 * 4096 / (medians({"product": lambda: a @ b}, rounds=7)["product"] / 1e3)


def naive_decode(flow: WaveFlow, z: Tensor, mel: Tensor) -> Tensor:
    """Our own inverse without its cache."""
    context = flow.condition(mel, HOP * mel.shape[2])
    for layer in reversed(flow.transform):
        z = layer.naive_inverse(z, context)[0] if isinstance(layer, RowAutoregressive) else layer.generate(z, context)
    return z


def synthesis(args: argparse.Namespace) -> Iterator[Table]:
    """Real-time factors, per configuration."""
    rate, rows = product_rate(args.device), []
    for name, (height, channels) in CONFIGURATIONS.items():
        flow = randomized(WaveFlow(height, channels), args.device)
        for seconds in SECONDS:
            mel = mels(seconds, args.device)
            z = torch.randn(flow.latent_shape(mel), device=args.device)
            contenders: dict[str, Callable[[], object]] = {"ours, cached": lambda f=flow, z=z, m=mel: f.decode(z, m)}
            if name == PUBLISHED and seconds == SECONDS[0]:
                contenders |= peers(flow, z, mel)
            times = timed(contenders, args.rounds if seconds == SECONDS[0] else min(args.rounds, 3))
            audio = HOP * mel.shape[2] / RATE
            limit = rate / (flops_per_sample(height, channels) * RATE)
            base = times["ours, cached"]
            rows += [[name, f"{seconds} s", who, t, audio / t, t / base, limit] for who, t in times.items()]
    glow = randomized(WaveGlow(channels=GLOW), args.device)
    mel = mels(SECONDS[0], args.device)
    z = torch.randn(glow.latent_shape(mel), device=args.device)
    t = timed({"WaveGlow": lambda: glow.decode(z, mel)}, args.rounds)["WaveGlow"]
    audio = HOP * mel.shape[2] / RATE
    rows.append([f"h=8 C={GLOW}", f"{SECONDS[0]} s", "WaveGlow, ours", t, audio / t, None, None])
    columns = [
        *map(Column, ("configuration", "clip", "who")),
        Column("time", "s", ".2f"),
        Column("speed", "x real time", ".3f"),
        Column("times ours", "", ".1f"),
        Column("compute limit", "x real time", ".2f"),
    ]
    yield Table(f"Synthesis, batch 1 (matrix products here: {rate / 1e9:.0f} GFLOP/s)", columns, rows)


def peers(flow: WaveFlow, z: Tensor, mel: Tensor) -> dict[str, Callable[[], object]]:
    """The other ways to invert the same flow, checked to give the same waveform."""
    bare, normed = PublicWaveFlow(flow).remove_weight_norm(), PublicWaveFlow(flow)
    contenders = {
        "public reverse_fast": lambda: normed.reverse(z, mel, fast=True),
        "public reverse_fast, weight norm removed": lambda: bare.reverse(z, mel, fast=True),
        "public reverse": lambda: normed.reverse(z, mel),
        "ours, no cache": lambda: naive_decode(flow, z, mel),
    }
    with torch.no_grad():
        torch.testing.assert_close(bare.reverse(z, mel, fast=True), flow.decode(z, mel), rtol=1e-3, atol=1e-3)
    return contenders


def timed(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds; what takes long is run once."""
    with torch.no_grad():
        found = {}
        for name, run in contenders.items():
            synchronize()
            start = time.perf_counter()
            run()
            synchronize()
            found[name] = time.perf_counter() - start
        quick = {name: run for name, run in contenders.items() if found[name] < 20}
        return found | {name: t / 1e3 for name, t in medians(quick, rounds, warmup=1).items()}


def training(args: argparse.Namespace) -> Iterator[Table]:
    """One gradient of one crop of 16,000 samples."""
    rows = []
    for name, (height, channels) in CONFIGURATIONS.items():
        flow = randomized(WaveFlow(height, channels), args.device).train()
        glow = randomized(WaveGlow(channels=channels), args.device).train()
        length = CROP // height * height
        x, mel = 0.1 * torch.randn(1, length, device=args.device), mels(CROP / RATE, args.device)
        peer = PublicWaveFlow(flow)
        contenders = {
            "ours": lambda f=flow, x=x, m=mel: f.log_prob(x, m).sum(),
            "public strategy": lambda p=peer, x=x, m=mel: p.log_prob(x, m),
            f"WaveGlow C={channels}, ours": lambda g=glow, x=x, m=mel: g.log_prob(x, m).sum(),
        }
        if not args.no_compile:
            compiled = torch.compile(flow)
            contenders["ours, compiled"] = lambda f=compiled, x=x, m=mel: f(x, m).sum()
        steps = {who: lambda run=run: (-run() / CROP).backward() for who, run in contenders.items()}
        with contextlib.redirect_stderr(None):
            times = medians(steps, args.rounds, warmup=1)
        rows += [[name, who, t, t / times["ours"]] for who, t in times.items()]
    columns = [Column("configuration"), Column("who"), Column("time", "ms", ".0f"), Column("times ours", "", ".2f")]
    yield Table("Training step: density and gradient, 1 x 16,000 samples", columns, rows)


def tables(args: argparse.Namespace) -> Iterator[Table]:
    args.rounds = min(args.rounds, 5)
    if args.part in (None, "synthesis"):
        yield from synthesis(args)
    if args.part in (None, "steps"):
        yield from training(args)

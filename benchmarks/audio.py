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
from benchmarks.roofline_audio import Roofline
from benchmarks.table import Cell, Column, Table
from benchmarks.timing import medians, synchronize
from flowsuite.audio.execution import Execution
from flowsuite.audio.row_autoregressive import RowAutoregressive
from flowsuite.audio.vocoder import Vocoder
from flowsuite.audio.waveflow import WaveFlow
from flowsuite.audio.waveglow import WaveGlow

RATE, HOP, CROP = 22050, 256, 16000
CONFIGURATIONS = {"h=16 C=64": (16, 64), "h=8 C=64": (8, 64), "h=16 C=128": (16, 128)}
SECONDS = (1, 10)
BATCH = 8  # clips of the longer kind, on a GPU
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


def synthesis_paths(device: str, compiled: bool) -> dict[str, Execution]:
    """Our ways to synthesise, the plain one first. bfloat16 is for GPUs: a CPU without instructions for it is
    far slower."""
    plain = {"ours, cached": Execution(graphs=False)}
    if device == "cpu":
        return plain
    low = torch.bfloat16
    paths = plain | {
        "ours, graphs": Execution(),
        "ours, bf16": Execution(low, graphs=False),
        "ours, bf16, graphs": Execution(low),
    }
    return paths | ({"ours, bf16, graphs, compiled": Execution(low, compiled=True)} if compiled else {})


def naive_decode(flow: WaveFlow, z: Tensor, mel: Tensor) -> Tensor:
    """Our own inverse without its cache."""
    context = flow.condition(mel, HOP * mel.shape[2])
    for layer in reversed(flow.transform):
        z = layer.naive_inverse(z, context)[0] if isinstance(layer, RowAutoregressive) else layer.generate(z, context)
    return z


def synthesis(args: argparse.Namespace) -> Iterator[Table]:
    """Real-time factors, per configuration."""
    machine, rows = Roofline(args.device), []
    for name, (height, channels) in CONFIGURATIONS.items():
        flow = randomized(WaveFlow(height, channels), args.device)
        for batch, seconds in clips_of(args.device):
            mel = mels(seconds, args.device, batch)
            z = torch.randn(flow.latent_shape(mel), device=args.device)
            paths = synthesis_paths(args.device, not args.no_compile)
            contenders: dict[str, Callable[[], Tensor]] = {
                who: lambda f=flow, z=z, m=mel, how=how: f.decode(z, m, how=how) for who, how in paths.items()
            }
            check_alike(contenders)
            first = (batch, seconds) == (1, SECONDS[0])
            if name == PUBLISHED and first:
                contenders |= peers(flow, z, mel)
            times = timed(contenders, args.rounds if first else min(args.rounds, 3))
            audio = batch * HOP * mel.shape[2] / RATE
            rows += [
                [
                    name,
                    clip(batch, seconds),
                    who,
                    *figures(t, audio, times),
                    *machine.limits(height, channels, "bf16" in who),
                ]
                for who, t in times.items()
            ]
    glow = randomized(WaveGlow(channels=GLOW), args.device)
    mel = mels(SECONDS[0], args.device)
    z = torch.randn(glow.latent_shape(mel), device=args.device)
    t = timed({"WaveGlow": lambda: glow.decode(z, mel)}, args.rounds)["WaveGlow"]
    rows.append([f"h=8 C={GLOW}", clip(1, SECONDS[0]), "WaveGlow, ours", t, HOP * mel.shape[2] / RATE / t, *[None] * 3])
    columns = [
        *map(Column, ("configuration", "clips", "who")),
        Column("time", "s", ".3g"),
        Column("speed", "x real time", ".3g"),
        Column("times ours, cached", "", ".2g"),
        Column("compute limit", "x real time", ".3g"),
        Column("memory limit", "x real time", ".3g"),
    ]
    yield Table(f"Synthesis ({machine})", columns, rows)


def figures(t: float, audio: float, times: dict[str, float]) -> list[Cell]:
    return [t, audio / t, t / times["ours, cached"]]


def check_alike(contenders: dict[str, Callable[[], Tensor]]) -> None:
    """That our ways to synthesise give the same waveform, up to their precision."""
    others = {who: run for who, run in contenders.items() if who != "ours, cached"}
    if not others:
        return
    with torch.no_grad():
        plain = contenders["ours, cached"]()
        for who, run in others.items():
            error = float((run() - plain).norm() / plain.norm())
            if not error < 0.05:
                raise ValueError(f"{who} is off by {error:.3g} of the norm of the waveform")


def clips_of(device: str) -> list[tuple[int, float]]:
    """(batch, seconds) of what is synthesised; a batch only where there is a device to fill."""
    return [(1, seconds) for seconds in SECONDS] + ([(BATCH, SECONDS[-1])] if device != "cpu" else [])


def clip(batch: int, seconds: float) -> str:
    return f"{seconds} s" if batch == 1 else f"{batch} x {seconds} s"


def peers(flow: WaveFlow, z: Tensor, mel: Tensor) -> dict[str, Callable[[], Tensor]]:
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

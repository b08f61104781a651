"""Fitting flows to U1..U4, beside normflows (planar, radial) and zuko (couplings, splines)."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from benchmarks.peers_variational import MAKERS, Fitted
from benchmarks.table import Cell, Column, Table
from benchmarks.timing import medians
from flowsuite.core.targets import Target, make_target
from flowsuite.core.variational.quadrature import log_normalizer

LAYERS, SPLINES = 32, 4
BATCHES = (256, 1024)
STEPS = {  # kind -> who has it
    "planar": ("ours", "normflows"),
    "radial": ("ours", "normflows"),
    "affine": ("ours", "zuko"),
    "spline": ("ours", "zuko"),
}
RACERS = (
    ("planar", LAYERS, "ours"), ("planar", LAYERS, "normflows"), ("radial", LAYERS, "ours"),
    ("radial", LAYERS, "normflows"), ("spline", SPLINES, "ours"), ("spline", SPLINES, "zuko"),
)  # fmt: skip
LR, ANNEALED = 5e-3, 0.3  # the highest rate, and the share of the time after which beta is 1
SLICE = 0.5  # seconds of one contender before it is the next one's turn
SAMPLES = 100_000


def target_of(name: str) -> Target:
    return make_target(name) if name == "U1" else make_target(name, envelope="box")


def make(who: str, kind: str, n_layers: int, target: Target, device: str) -> Fitted:
    torch.manual_seed(0)
    fitted = MAKERS[who](kind, n_layers, target)
    fitted.module.to(device)
    return fitted


def optimizer_of(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for p in module.parameters() if p.requires_grad], LR, fused=True)


def step_of(loss: Callable[[int, float], torch.Tensor], optimizer: torch.optim.Optimizer, batch: int) -> None:
    optimizer.zero_grad()
    loss(batch, 1.0).backward()
    optimizer.step()


def steps(args: argparse.Namespace) -> Iterator[Table]:
    """A fitting step: samples, both densities, gradient, Adam."""
    target, rows = target_of("U1").to(args.device), []
    for kind, names in STEPS.items():
        for batch in BATCHES:
            contenders = {}
            for who in names:
                fitted = make(who, kind, LAYERS, target, args.device)
                losses = {who: fitted.loss}
                if who == "ours" and kind != "spline" and not args.no_compile:  # 32 spline layers compile for minutes
                    losses["ours, compiled"] = torch.compile(fitted.loss, dynamic=False)
                for name, loss in losses.items():
                    adam = optimizer_of(fitted.module)
                    contenders[name] = lambda loss=loss, adam=adam, batch=batch: step_of(loss, adam, batch)
            times = medians(contenders, args.rounds)
            rows += [[f"{kind}, batch {batch}", who, t, t / times["ours"]] for who, t in times.items()]
    title = f"Fitting step on U1, K = {LAYERS}, two dimensions: samples, densities, gradient, Adam"
    columns = [Column("flow"), Column("who"), Column("time", "ms", ".2f"), Column("times ours", "", ".2f")]
    yield Table(title, columns, rows)


class Racer:
    """One contender of a race: rate and annealing follow its own clock, the same way for all."""

    def __init__(self, fitted: Fitted, seconds: float, batch: int):
        self.fitted, self.seconds, self.batch = fitted, seconds, batch
        self.optimizer = optimizer_of(fitted.module)
        self.clock, self.steps = 0.0, 0

    def run(self, seconds: float) -> None:
        """Steps for so long, no longer than its time allows."""
        end = min(self.seconds, self.clock + seconds)
        while self.clock < end:
            start, done = time.perf_counter(), self.clock / self.seconds
            for group in self.optimizer.param_groups:
                group["lr"] = LR * max(0.01, 0.5 * (1 + math.cos(math.pi * done)))
            self.optimizer.zero_grad()
            self.fitted.loss(self.batch, min(1.0, 0.01 + done / ANNEALED)).backward()
            torch.nn.utils.clip_grad_norm_(self.fitted.module.parameters(), 100.0)
            self.optimizer.step()
            self.clock += time.perf_counter() - start
            self.steps += 1


def race(name: str, seconds: float, batch: int, device: str) -> list[list[Cell]]:
    """All contenders on one target, in turns; rows of the table."""
    target = target_of(name).to(device)
    log_z = log_normalizer(target, target.support)
    racers = [Racer(make(who, kind, n, target, device), seconds, batch) for kind, n, who in RACERS]
    while any(racer.clock < seconds for racer in racers):
        for racer in racers:
            racer.run(SLICE)
    rows = []
    for (kind, n_layers, who), racer in zip(RACERS, racers, strict=True):
        kl = log_z + racer.fitted.negative_elbo(SAMPLES)
        rows.append([name, f"{kind}, K = {n_layers}", who, kl, racer.steps])
    return rows


def races(args: argparse.Namespace) -> Iterator[Table]:
    """A target has `--seconds`, which its contenders share."""
    seconds, rows = args.seconds / len(RACERS), []
    for name in ("U1", "U2", "U3", "U4"):
        rows += race(name, seconds, BATCHES[0], args.device)
    title = (
        f"KL(q||p) after {seconds:.0f} s each, batch {BATCHES[0]}; log Z by quadrature, ELBO of {SAMPLES:,} samples, "
        "nats"
    )
    columns = [*map(Column, ("target", "flow", "who")), Column("KL(q||p)", "nats", ".4f"), Column("steps")]
    yield Table(title, columns, rows)


def tables(args: argparse.Namespace) -> Iterator[Table]:
    if args.part in (None, "steps"):
        yield from steps(args)
    if args.part in (None, "races"):
        yield from races(args)

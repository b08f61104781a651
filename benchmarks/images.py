"""Our Glow beside nflows and normflows: training step, density, sampling, memory against depth."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.memory import saved_bytes as memory_kept
from benchmarks.peers import CouplingNet, Size, nflows_glow, normflows_glow
from benchmarks.table import Cell, Column, Table
from benchmarks.timing import medians, synchronize
from flowsuite.images import Glow

SIZES = (Size(16, 2, 4, 64, 16), Size(32, 3, 8, 128, 8))
DEPTHS = (8, 32, 128)


class NetsAlone(nn.Module):
    """All coupling nets of a Glow and nothing else: what no arrangement of the invertible parts can go below."""

    def __init__(self, size: Size):
        super().__init__()
        self.nets, self.shapes = nn.ModuleList(), []
        channels, side = 3, size.image
        for level in range(size.levels):
            channels, side = 4 * channels // (2 if level else 1), side // 2
            for _ in range(size.steps):
                self.nets.append(CouplingNet(channels // 2, channels, size.width).to(memory_format=torch.channels_last))
                self.shapes.append((size.batch, channels // 2, side, side))

    def inputs(self, device: str) -> list[Tensor]:
        return [
            torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last).requires_grad_()
            for shape in self.shapes
        ]

    def forward(self, inputs: list[Tensor]) -> Tensor:
        return sum(net(x).sum() for net, x in zip(self.nets, inputs, strict=True))


def ours(size: Size, convention: str) -> Glow:
    return Glow(size.shape, size.levels, size.steps, size.width, convention=convention)


def train_step(model: nn.Module, log_prob: Callable[[], Tensor]) -> Callable[[], None]:
    def run():
        model.zero_grad(set_to_none=True)
        (-log_prob().mean()).backward()

    return run


def without_grad(function: Callable[[], object]) -> Callable[[], object]:
    @torch.no_grad()
    def run():
        return function()

    return run


def speed(size: Size, args: argparse.Namespace) -> Table:
    torch.manual_seed(0)
    device = args.device
    images = torch.randint(0, 256, (size.batch, *size.shape), dtype=torch.uint8, device=device)
    x = (images + torch.rand(images.shape, device=device)) / 256 - 0.5
    models: dict[str, tuple[nn.Module, Callable, Callable]] = {}
    nflows, normflows = nflows_glow(size).to(device), normflows_glow(size).to(device)
    models["nflows"] = (nflows, lambda: nflows.log_prob(x), lambda: nflows.sample(size.batch))
    models["normflows"] = (normflows, lambda: normflows.log_prob(x, None), lambda: normflows.sample(size.batch))
    for name, convention in (("flowsuite", "port"), ("flowsuite, openai/glow nets", "official")):
        flow = ours(size, convention).to(device)
        flow.initialize(images)
        models[name] = (flow, lambda f=flow: f.log_prob(images), lambda f=flow: f.sample(size.batch))
        if convention == "port" and not args.no_compile:
            compiled = torch.compile(flow.log_prob, fullgraph=True)
            decode = torch.compile(flow.decode, fullgraph=True)
            models[f"{name}, compiled"] = (
                flow,
                lambda c=compiled: c(images),
                lambda f=flow, d=decode: d(f.base.sample(size.batch)),
            )
    return Table(str(size), columns(), rows(models, size, args))


def columns() -> list[Column]:
    timed = ("train step", "log_prob", "sample")
    ratios = [Column(f"{what} / {peer}", "", ".2f") for peer in ("normflows", "nflows") for what in timed]
    return [Column("model"), Column("parameters", "", ","), *(Column(what, "ms", ".1f") for what in timed), *ratios]


def rows(models: dict, size: Size, args: argparse.Namespace) -> list[list[Cell]]:
    nets = NetsAlone(size).to(args.device)
    inputs = nets.inputs(args.device)
    parameters = [*nets.parameters(), *inputs]
    train = {name: train_step(model, log_prob) for name, (model, log_prob, _) in models.items()}
    train["coupling nets alone"] = lambda: torch.autograd.grad(nets(inputs), parameters)
    for model, _, _ in models.values():
        model.train()
    results = [medians(train, args.rounds)]
    for model, _, _ in models.values():
        model.eval()
    density = {name: without_grad(log_prob) for name, (_, log_prob, _) in models.items()}
    density["coupling nets alone"] = without_grad(lambda: nets(inputs))
    sample = {name: without_grad(draw) for name, (_, _, draw) in models.items()}
    sample["coupling nets alone"] = density["coupling nets alone"]
    results += [medians(contenders, args.rounds) for contenders in (density, sample)]
    counts = {name: sum(p.numel() for p in model.parameters()) for name, (model, _, _) in models.items()}
    counts["coupling nets alone"] = sum(p.numel() for p in nets.parameters())
    lines = []
    for name in train:
        ratios = [result[name] / result[peer] for peer in ("normflows", "nflows") for result in results]
        lines.append([name, counts[name], *(result[name] for result in results), *ratios])
    return lines


def saved_bytes(flow: Glow, images: Tensor) -> int:
    """Bytes that autograd keeps of a training step."""
    return memory_kept(flow, lambda: -flow.log_prob(images).mean())


def memory(args: argparse.Namespace) -> Table:
    size = Size(16, 2, 0, 64, 16)
    images = torch.randint(0, 256, (size.batch, *size.shape), dtype=torch.uint8, device=args.device)
    lines = []
    for depth in DEPTHS:
        row = [depth]
        for reversible in (False, True):
            flow = Glow(size.shape, size.levels, depth, size.width, reversible=reversible).to(args.device)
            flow.initialize(images)
            kept = saved_bytes(flow, images)
            milliseconds = medians({"train": train_step(flow, lambda f=flow: f.log_prob(images))}, 3, 1)["train"]
            row += [kept / 2**20, milliseconds]
        lines.append(row)
    found = [Column("K")]
    for how in ("plain", "reversible"):
        found += [Column(f"{how}, kept", "MiB", ".1f"), Column(f"{how}, step", "ms", ".0f")]
    return Table(f"Memory that autograd keeps, by depth ({size.image}x{size.image}x3, L2, width 64)", found, lines)


def throughput(args: argparse.Namespace) -> Table:
    """CIFAR-10-size Glow (L3 K32 width 512) on a GPU."""
    lines = []
    for precision in ("float32", "bfloat16 nets"):
        for compiled in (False, True):
            flow = Glow((3, 32, 32), 3, 32, 512, permutation="conv1x1_lu").to(args.device)
            images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8, device=args.device)
            flow.initialize(images)
            log_prob = torch.compile(flow.log_prob, fullgraph=True) if compiled else flow.log_prob
            autocast = torch.autocast(args.device, torch.bfloat16, enabled=precision != "float32")

            def loss(log_prob=log_prob, images=images, autocast=autocast):
                with autocast:
                    return log_prob(images)

            milliseconds = medians({"train": train_step(flow, loss)}, args.rounds)["train"]
            synchronize()
            start = time.perf_counter()
            flow.sample(64)
            synchronize()
            sampling = 64 / (time.perf_counter() - start)
            label = precision + (", compiled" if compiled else "")
            lines.append([label, milliseconds, 64e3 / milliseconds, sampling])
    found = [
        Column("precision"),
        Column("train step", "ms", ".1f"),
        Column("training", "images/s", ".0f"),
        Column("sampling", "images/s", ".0f"),
    ]
    return Table("Glow L3 K32 width 512, 32x32x3, batch 64", found, lines)


def tables(args: argparse.Namespace) -> Iterator[Table]:
    for size in SIZES:
        if size.image in args.sizes:
            yield speed(size, args)
    yield memory(args)
    if args.device == "cuda":
        yield throughput(args)

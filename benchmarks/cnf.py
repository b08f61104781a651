"""Our continuous flows beside zuko's and a plain torchdiffeq FFJORD: steps, NFE, time to a likelihood, sampling."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.peers_cnf import TorchdiffeqCNF, count_zuko, zuko_cnf
from benchmarks.race import EMA_DECAY, Run, averaged, race, race_table, train
from benchmarks.table import Column, Table
from benchmarks.timing import medians
from flowsuite.core.data.densities import sample_toy
from flowsuite.core.ffjord import FFJORD
from flowsuite.core.layers.continuous import record_solves
from flowsuite.core.matching import FlowMatching
from flowsuite.core.nets.mlp_field import MLPField
from flowsuite.core.ode import Adaptive, FixedGrid
from flowsuite.core.training.ema import ExponentialMovingAverage

END_TIME, HIDDEN, TOYS = 0.5, (64, 64, 64), ("8gaussians", "2spirals")
LEARNING_RATES = (1e-3, 4e-3)  # the published one of FFJORD's toys, and about that of our recipe of flow matching
TORCHDIFFEQ = "torchdiffeq FFJORD, Hutchinson"


@dataclass
class Contender:
    """A model under training.

    Attributes:
        model: its parameters are trained.
        loss: of a batch (B, D).
        log_prob: exact log-likelihood, (B,) nats.
        nfe: forward and backward evaluations of a step on a batch.
        sample: draws n points.
        average: of the weights, as the recipe keeps it; what a race evaluates.
    """

    model: nn.Module
    loss: Callable[[Tensor], Tensor]
    log_prob: Callable[[Tensor], Tensor]
    nfe: Callable[[Tensor], tuple[int, int]]
    sample: Callable[[int], Tensor]
    average: ExponentialMovingAverage | None = None


def torchdiffeq_contender(dim: int) -> Contender:
    model = TorchdiffeqCNF(MLPField(dim, HIDDEN), END_TIME)
    judge = FFJORD(dim, HIDDEN, end_time=END_TIME, train_end_time=False).eval()

    def log_prob(x: Tensor) -> Tensor:
        judge.transform[0].field.load_state_dict(model.field.state_dict())
        return judge.log_prob(x)

    def nfe(x: Tensor) -> tuple[int, int]:
        model.evaluations = 0
        loss = -model.log_prob(x).mean()
        forward = model.evaluations
        loss.backward()
        return forward, model.evaluations - forward

    return Contender(
        model, lambda x: -model.log_prob(x).mean(), log_prob, nfe, lambda n: model.sample(torch.randn(n, dim))
    )


def zuko_contender(dim: int) -> Contender:
    flow = zuko_cnf(dim, HIDDEN)
    counter = count_zuko(flow)

    def nfe(x: Tensor) -> tuple[int, int]:
        counter[0] = 0
        loss = -flow().log_prob(x).mean()
        forward = counter[0]
        loss.backward()
        return forward, counter[0] - forward

    def log_prob(x: Tensor) -> Tensor:
        return flow().log_prob(x)

    return Contender(flow, lambda x: -log_prob(x).mean(), log_prob, nfe, lambda n: flow().sample((n,)))


def our_contender(dim: int, solver, matching: FlowMatching | None = None, eval_solver=None) -> Contender:
    flow = FFJORD(dim, HIDDEN, end_time=END_TIME, solver=solver, eval_solver=eval_solver)

    def likelihood(x: Tensor) -> Tensor:
        return -flow.log_prob(x).mean()

    loss = likelihood if matching is None else lambda x: matching.flow_loss(flow, x)

    def log_prob(x: Tensor) -> Tensor:
        flow.eval()
        try:
            return flow.log_prob(x)
        finally:
            flow.train()

    def nfe(x: Tensor) -> tuple[int, int]:
        if matching is not None:
            return 1, 0
        with record_solves() as log:
            loss(x).backward()
        return log.nfe_forward, log.nfe_backward

    def sample(n: int) -> Tensor:
        flow.eval()
        try:
            return flow.sample(n)
        finally:
            flow.train()

    average = ExponentialMovingAverage(flow, EMA_DECAY) if matching is not None else None
    return Contender(flow, loss, log_prob, nfe, sample, average)


def contenders(dim: int, compiled: bool) -> dict[str, Callable[[], Contender]]:
    grid = {"method": "rk4", "steps": 4, "checkpoint": False}
    found = {
        TORCHDIFFEQ: lambda: torchdiffeq_contender(dim),
        "zuko CNF": lambda: zuko_contender(dim),
        "flowsuite, dopri5 adjoint": lambda: our_contender(dim, Adaptive()),
        "flowsuite, RK4 x 4": lambda: our_contender(dim, FixedGrid(**grid)),
        "flowsuite, flow matching": lambda: our_contender(dim, None, FlowMatching()),
    }
    if compiled:
        found["flowsuite, RK4 x 4, compiled"] = lambda: our_contender(dim, FixedGrid(**grid, compile=True))
    return found


def optimizer_for(contender: Contender, lr: float = LEARNING_RATES[0]) -> torch.optim.Optimizer:
    return torch.optim.Adam(contender.model.parameters(), lr=lr, fused=True)


def train_step(contender: Contender, optimizer: torch.optim.Optimizer, batch: Callable[[], Tensor]) -> None:
    optimizer.zero_grad(set_to_none=True)
    contender.loss(batch()).backward()
    optimizer.step()
    if contender.average is not None:
        contender.average.update()


def batches(name: str, size: int, seed: int) -> Callable[[], Tensor]:
    """Batches from a pool made beforehand: drawing points is nobody's training time."""
    pool = sample_toy(name, 200_000, torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 1)
    return lambda: pool[torch.randint(len(pool), (size,), generator=generator)]


def step_table(batch: int, warm_up: int, args: argparse.Namespace) -> Table:
    """Training step, density and sampling of 1,000 points after `warm_up` iterations on 8gaussians."""
    found, draws = {}, batches("8gaussians", batch, 0)
    for name, make in contenders(2, not args.no_compile).items():
        torch.manual_seed(0)
        found[name] = make()
        optimizer = optimizer_for(found[name])
        for _ in range(warm_up):
            train_step(found[name], optimizer, draws)
    x, many = draws(), batches("8gaussians", 1000, 1)()
    steps = {name: lambda c=c: frozen_step(c, x) for name, c in found.items()}
    times = medians(steps, args.rounds)
    density = medians({name: without_grad(lambda c=c: c.log_prob(many)) for name, c in found.items()}, args.rounds)
    sampling = medians({name: without_grad(lambda c=c: c.sample(1000)) for name, c in found.items()}, args.rounds)
    rows = []
    for name, contender in found.items():
        forward, backward = contender.nfe(x)
        peers = [times[name] / times[peer] for peer in list(found)[:2]]
        rows.append([name, times[name], f"{forward}+{backward}", *peers, density[name], sampling[name]])
    columns = [
        Column("model"),
        Column("train step", "ms", ".1f"),
        Column("NFE"),
        Column("train step / torchdiffeq", "", ".2f"),
        Column("train step / zuko", "", ".2f"),
        Column("log_prob", "ms", ".1f"),
        Column("sample", "ms", ".1f"),
    ]
    title = (
        f"2-D, {HIDDEN} tanh concat-squash, batch {batch}, after {warm_up} iterations (log_prob, sample: 1,000 points)"
    )
    return Table(title, columns, rows)


def frozen_step(contender: Contender, x: Tensor) -> None:
    contender.model.zero_grad(set_to_none=True)
    contender.loss(x).backward()


def without_grad(function: Callable[[], object]) -> Callable[[], object]:
    @torch.no_grad()
    def run():
        return function()

    return run


def toy_race(toy: str, args: argparse.Namespace) -> Table:
    """Seconds of training until the test NLL (exact, dopri5 at 1e-5) is the best of the torchdiffeq FFJORD's."""
    test = sample_toy(toy, 2000, torch.Generator().manual_seed(99))
    makers = contenders(2, not args.no_compile)

    def run(name: str, lr: float, seconds: float, points: int) -> Run:
        torch.manual_seed(0)
        contender = makers[name]()
        frozen_step(contender, batches(toy, args.batch, 3)())  # compilation happens here, off the clock
        optimizer, draws = optimizer_for(contender, lr), batches(toy, args.batch, 7)
        step = functools.partial(train_step, contender, optimizer, draws)
        return train(step, functools.partial(test_nll, contender, test), seconds, points)

    runs, rates = race(run, makers, LEARNING_RATES, args.seconds)
    title = f"{toy}, batch {args.batch}: test NLL against training time"
    return race_table(title, runs, rates, TORCHDIFFEQ, args.seconds)


@torch.no_grad()
def test_nll(contender: Contender, test: Tensor) -> float:
    with averaged(contender.average):
        return -contender.log_prob(test).mean().item()


def tables(args: argparse.Namespace) -> Iterator[Table]:
    if args.part != "races":
        for warm_up in (0, 300):
            yield step_table(100, warm_up, args)
    if args.part != "steps":
        for toy in TOYS:
            yield toy_race(toy, args)

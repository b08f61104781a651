"""Our PointFlow beside the public code's strategy, on the same networks: steps, NFE, time to a likelihood, sampling."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.cnf import without_grad
from benchmarks.peers_cnf import TorchdiffeqCNF
from benchmarks.race import EMA_DECAY, Run, averaged, race, race_table, train
from benchmarks.table import Column, Table
from benchmarks.timing import medians
from flowsuite.core.layers.continuous import CNF, record_solves, set_eval_solver
from flowsuite.core.matching import FlowMatching
from flowsuite.core.ode import Adaptive, FixedGrid
from flowsuite.core.training.ema import ExponentialMovingAverage
from flowsuite.pointclouds.data_shapes import make_shapes
from flowsuite.pointclouds.matching import code_matching_loss, point_matching_loss
from flowsuite.pointclouds.pointflow import PointFlow

PUBLISHED = {"zdim": 128, "hidden": (512, 512, 512), "latent_hidden": (256, 256)}
SMALL = {"zdim": 16, "hidden": (64, 64, 64), "latent_hidden": (64, 64)}
END_TIME = 0.5
LEARNING_RATES = (2e-3, 4e-3)  # the published one, and twice that
PUBLIC = "public code's strategy (torchdiffeq)"


@dataclass
class Contender:
    """`loss(x)` of a batch of clouds, `nfe(x)` as (point forward+backward, latent ...), and `sample(n, points)`.

    `flow` is what the likelihood is judged by: it holds the weights that are trained. `average`, of these weights, is
    what a race evaluates where the recipe keeps it.
    """

    flow: PointFlow
    loss: Callable[[Tensor], Tensor]
    nfe: Callable[[Tensor], str]
    sample: Callable[[int, int], Tensor]
    average: ExponentialMovingAverage | None = None


def public_contender(sizes: dict) -> Contender:
    """The networks of a PointFlow of ours; solves, traces and sampling as in the public code."""
    flow = PointFlow(**sizes, end_time=END_TIME)
    point = share(flow.point_cnf.blocks[0])
    latent = share(flow.latent.transform[1])

    def loss(x: Tensor) -> Tensor:
        posterior = flow.posterior(x)
        z = posterior.sample()
        w, shift = flow.latent.transform[0](z)
        w, delta = latent.solve(w)
        w, last = flow.latent.transform[2](w)
        prior = flow.latent.base.log_prob(w) + shift - delta + last
        y, shift = flow.point_cnf[0].points(x)
        y, delta = point.solve(y, z)
        y, last = flow.point_cnf[2].points(y)
        recon = flow.point_cnf.base.elementwise_log_prob(y).sum(-1) + shift - delta + last
        return -(recon.sum(1) + prior + posterior.entropy()).mean()

    def nfe(x: Tensor) -> str:
        point.evaluations = latent.evaluations = 0
        value = loss(x)
        forward = point.evaluations, latent.evaluations
        value.backward()
        backward = point.evaluations - forward[0], latent.evaluations - forward[1]
        return f"{forward[0]}+{backward[0]} / {forward[1]}+{backward[1]}"

    def sample(n: int, points: int) -> Tensor:
        z = flow.latent.transform[2].generate(torch.randn(n, flow.zdim))
        z = flow.latent.transform[0].generate(latent.sample(z))
        y = flow.point_cnf[2].generate(torch.randn(n, points, 3))
        return flow.point_cnf[0].generate(point.sample(y, z))

    return Contender(flow, loss, nfe, sample)


def share(cnf: CNF) -> TorchdiffeqCNF:
    """The same field and the same learned end time, solved and differentiated the public way."""
    peer = TorchdiffeqCNF(cnf.field, END_TIME, train_end_time=True)
    peer.sqrt_end_time = cnf.sqrt_end_time
    return peer


def our_contender(sizes: dict, solver=None, matching: FlowMatching | None = None, eval_solver=None) -> Contender:
    plain = {"batch_norm": False} if matching is not None else {}
    flow = PointFlow(**sizes, **plain, end_time=END_TIME, solver=solver, eval_solver=eval_solver)

    def likelihood(x: Tensor) -> Tensor:
        return -flow.elbo(x).bound.mean()

    def matched(x: Tensor) -> Tensor:
        posterior = flow.posterior(x)
        z = posterior.sample()
        divergence = 0.5 * (posterior.mean.square() + posterior.log_var.exp() - posterior.log_var - 1).mean()
        points = point_matching_loss(flow, matching, x, z, times=4)
        return points + code_matching_loss(flow, matching, z) + 1e-3 * divergence

    def nfe(x: Tensor) -> str:
        if matching is not None:
            return "1 / 1"
        with record_solves() as log:
            likelihood(x).backward()
        return " / ".join(f"{s.evaluations.forward}+{s.evaluations.backward}" for s in log.solutions)

    loss, average = (likelihood, None) if matching is None else (matched, ExponentialMovingAverage(flow, EMA_DECAY))
    return Contender(flow, loss, nfe, lambda n, points: flow.sample(n, points), average)


def contenders(sizes: dict, compiled: bool) -> dict[str, Callable[[], Contender]]:
    grid = {"method": "rk4", "steps": 2, "checkpoint": False}
    found = {
        PUBLIC: lambda: public_contender(sizes),
        "flowsuite, dopri5 adjoint": lambda: our_contender(sizes, Adaptive()),
        "flowsuite, RK4 x 2": lambda: our_contender(sizes, FixedGrid(**grid), eval_solver=FixedGrid(**grid)),
        "flowsuite, flow matching": lambda: our_contender(sizes, matching=FlowMatching()),
    }
    if compiled:
        fast = FixedGrid(**grid, compile=True)
        found["flowsuite, RK4 x 2, compiled"] = lambda: our_contender(sizes, fast, eval_solver=fast)
    return found


def train_step(contender: Contender, x: Tensor) -> Callable[[], None]:
    def run() -> None:
        contender.flow.zero_grad(set_to_none=True)
        contender.loss(x).backward()

    return run


def step_table(args: argparse.Namespace) -> Table:
    """At initialisation; the public code on such a machine: 4.3 s and 12.5 s a step, 2.46 s to sample 4 x 2048."""
    torch.manual_seed(0)
    found = {name: make() for name, make in contenders(PUBLISHED, not args.no_compile).items()}
    batches = [clouds("chair", "train", b, n) for b, n in ((4, 512), (2, 2048))]
    results, evaluations = [], {}
    for x in batches:
        results.append(medians({name: train_step(c, x) for name, c in found.items()}, args.rounds, 1))
        evaluations |= {(name, x.shape): c.nfe(x) for name, c in found.items()}
    for contender in found.values():
        contender.flow.eval()
    draws = {name: without_grad(lambda c=c: c.sample(4, 2048)) for name, c in found.items()}
    results.append(medians(draws, args.rounds, 1))
    rows = []
    for name in found:
        cells = [cell for result in results for cell in (result[name] / 1e3, result[PUBLIC] / result[name])]
        rows.append([name, *cells, evaluations[name, batches[0].shape], solver_error(found[name].flow)])
    columns = [Column("strategy")]
    for what in ("step 4 x 512", "step 2 x 2048", "sample 4 x 2048"):
        columns += [Column(what, "s", ".2f"), Column(f"{what}, speed-up", "", ".1f")]
    columns += [Column("NFE point / latent"), Column("sampling error", "", ".0e")]
    return Table("PointFlow at its published widths, at initialisation", columns, rows)


@torch.no_grad()
def solver_error(flow: PointFlow) -> float:
    """Root mean square difference of sampled points to those of a tight solve, the same noise and codes."""
    noise, codes = torch.randn(4, 2048, 3), torch.randn(4, flow.zdim)
    cnf = flow.point_cnf.blocks[0]
    rough, tight = (
        cnf.solve(noise, codes, reverse=True, with_ladj=False, solver=solver).z
        for solver in (cnf.eval_solver, Adaptive(rtol=1e-6, atol=1e-6))
    )
    return (rough - tight).square().mean().sqrt().item()


def clouds(family: str, split: str, n: int, points: int) -> Tensor:
    """Made shapes, normalised by the statistics of those of the training split."""
    train = make_shapes(family, "train", range(256), 1024, 0)
    return (make_shapes(family, split, range(n), points, 0) - train.mean((0, 1))) / train.std()


@torch.no_grad()
def test_nll(contender: Contender, test: Tensor) -> float:
    """`-ELBO / 3N`, one fixed draw of the posterior: exact trace, dopri5 at 1e-5, for every contender."""
    flow = contender.flow.eval()
    set_eval_solver(flow, Adaptive())
    with torch.random.fork_rng(), averaged(contender.average):
        torch.manual_seed(0)
        return -flow.elbo(test).bound.mean().item() / test[0].numel()


def bound_race(args: argparse.Namespace) -> Table:
    train_set, test = clouds("chair", "train", 256, 1024), clouds("chair", "test", 16, 512)
    makers = contenders(SMALL, not args.no_compile)

    def run(name: str, lr: float, seconds: float, points: int) -> Run:
        torch.manual_seed(0)
        contender = makers[name]()
        train_step(contender, train_set[:16, :256])()  # compilation happens here, off the clock
        step = optimizer_step(contender, train_set, lr)
        return train(step, functools.partial(test_nll, contender, test), seconds, points)

    runs, rates = race(run, makers, LEARNING_RATES, args.seconds)
    title = "Made chairs, fields of 64-64-64, 16 clouds of 256 points: test -ELBO against training time"
    return race_table(title, runs, rates, PUBLIC, args.seconds, "nats/dim")


def optimizer_step(contender: Contender, clouds: Tensor, lr: float) -> Callable[[], None]:
    optimizer = torch.optim.Adam(contender.flow.parameters(), lr=lr, fused=True)
    generator = torch.Generator().manual_seed(1)

    def step() -> None:
        contender.flow.train()
        index = torch.randint(len(clouds), (16,), generator=generator)
        points = torch.randperm(clouds.shape[1], generator=generator)[:256]
        train_step(contender, clouds[index][:, points])()
        optimizer.step()
        if contender.average is not None:
            contender.average.update()

    return step


def tables(args: argparse.Namespace) -> Iterator[Table]:
    if args.part != "races":
        yield step_table(args)
    if args.part != "steps":
        yield bound_race(args)

"""`flowsuite density COMMAND`: what a trained flow of vectors is worth, beyond its figures."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

SOLVERS = ["euler:1", "euler:2", "euler:4", "euler:8", "euler:16", "heun:4", "rk4:4", "dopri5:1e-5"]
EXAMPLES = """\
examples:
  flowsuite density steps --ckpt_path best.ckpt --data 8gaussians
  flowsuite density certificate --ckpt_path best.ckpt --data rows.npy --divergence hutchinson
  flowsuite density picture --ckpt_path best.ckpt --data 2spirals --out density.png"""


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        "flowsuite density", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = whole.add_subparsers(dest="command", required=True)
    for name, text in (
        ("steps", "quality of samples against the number of steps of the solver"),
        ("certificate", "how far the likelihoods can be trusted: tolerances, trace estimate, round trip"),
        ("picture", "data, learnt density and samples side by side (two dimensions)"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--ckpt_path", required=True, help="checkpoint written by fit")
        command.add_argument("--data", required=True, help="name of a toy set, or a .npy file of rows (N, D)")
        command.add_argument("--num", type=int, default=2000, help="examples (2000)")
        command.add_argument("--seed", type=int, default=0, help="seed of data and noise (0)")
        if name == "steps":
            command.add_argument("--solvers", nargs="+", default=SOLVERS, help=f"({' '.join(SOLVERS)})")
        elif name == "certificate":
            command.add_argument("--divergence", help="in place of the model's eval_divergence")
            command.add_argument("--probes", type=int, default=16, help="for the standard error (16)")
        else:
            command.add_argument("--out", type=Path, required=True, help="PNG file to write")
    return whole


def read_rows(source: str, num: int, seed: int, dim: int) -> Tensor:
    """`num` points of a toy set, or the first `num` rows of a file."""
    from flowsuite.core.data import TOYS, sample_toy

    if source in TOYS:
        rows = sample_toy(source, num, seed)
    elif Path(source).is_file():
        from flowsuite.core.data.tabular import load_array

        rows = torch.from_numpy(load_array(Path(source))[:num])
    else:
        raise FileNotFoundError(f"{source!r} is neither a file nor a toy set: expected one of {', '.join(TOYS)}")
    if rows.ndim != 2 or rows.shape[1] != dim:
        raise ValueError(f"{source}: expected rows of {dim} numbers, got shape {tuple(rows.shape)}")
    return rows.float()


def energy_distance(a: Tensor, b: Tensor) -> float:
    """`2 E|a - b| - E|a - a'| - E|b - b'|` without bias: 0 for samples (N, D), (M, D) of one distribution."""

    def within(x: Tensor) -> Tensor:
        return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))

    a, b = a.double(), b.double()
    return (2 * torch.cdist(a, b).mean() - within(a) - within(b)).item()


@torch.no_grad()
def steps_table(flow: nn.Module, x: Tensor, solvers: list[str], seed: int) -> list[tuple[str, int, float, float]]:
    """`(solver, NFE, energy distance to x, RMS distance from the finest solution)` of samples from the same noise."""
    from flowsuite.core.certificate import override_solver
    from flowsuite.core.layers.continuous import record_solves
    from flowsuite.core.ode import Adaptive, solver_by_name

    generator = torch.Generator(x.device).manual_seed(seed)
    noise = flow.base.sample(len(x), 1.0, generator)
    with override_solver(flow, lambda _: Adaptive(rtol=1e-6, atol=1e-6)):
        finest = flow.decode(noise)
    rows = []
    for name in solvers:
        solver = solver_by_name(name)
        with override_solver(flow, lambda _, chosen=solver: chosen), record_solves() as log:
            samples = flow.decode(noise)
        rms = (samples - finest).square().sum(-1).mean().sqrt().item()
        rows.append((name, log.nfe_forward, energy_distance(samples, x), rms))
    return rows


def print_steps(flow: nn.Module, x: Tensor, args: argparse.Namespace) -> None:
    print(f"{len(x)} samples of the same noise; energy distance to as many examples")
    print(f"{'solver':<14}{'NFE':>6}{'energy distance':>18}{'from the exact path, RMS':>28}")
    for name, nfe, energy, rms in steps_table(flow, x, args.solvers, args.seed):
        print(f"{name:<14}{nfe:>6}{energy:>18.5f}{rms:>28.5f}")


def print_certificate(flow: nn.Module, x: Tensor, args: argparse.Namespace) -> None:
    from flowsuite.core.certificate import certify_flow
    from flowsuite.core.divergence import check_divergence
    from flowsuite.core.layers.continuous import CNF

    if args.divergence:
        for layer in (module for module in flow.modules() if isinstance(module, CNF)):
            layer.eval_divergence = check_divergence(args.divergence)
    print(certify_flow(flow, x, probes=args.probes))


def write_picture(flow: nn.Module, x: Tensor, args: argparse.Namespace) -> None:
    from flowsuite.core.training.pictures import write_png
    from flowsuite.core.training.plots import density_triptych

    samples = flow.sample(len(x), generator=torch.Generator(x.device).manual_seed(args.seed))
    print(write_png(args.out, density_triptych(flow.log_prob, x, samples)))


RUN = {"steps": print_steps, "certificate": print_certificate, "picture": write_picture}


def main(argv: list[str]) -> int:
    from flowsuite.core.layers.continuous import CNF
    from flowsuite.core.training.checkpoint import load_module

    args = parser().parse_args(argv)
    if args.num < 2:
        raise ValueError(f"--num must be at least 2, got {args.num}")
    flow = load_module(args.ckpt_path, "cuda" if torch.cuda.is_available() else "cpu").flow
    shape = flow.base.shape
    if len(shape) != 1:
        raise ValueError(f"{args.ckpt_path} holds a flow of events {shape}, expected vectors")
    if args.command != "picture" and not any(isinstance(module, CNF) for module in flow.modules()):
        raise ValueError(f"{args.ckpt_path} holds no continuous flow")
    x = read_rows(args.data, args.num, args.seed, shape[0]).to(flow.base.anchor.device)
    RUN[args.command](flow, x, args)
    return 0

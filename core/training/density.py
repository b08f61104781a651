"""`flowsuite density COMMAND`: what a trained flow of vectors is worth, beyond its figures."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from flowsuite.core.training.model_options import add_model_options, open_model

MODULES = ("BSDS300", "Gas", "Hepmass", "Miniboone", "Power", "Table", "Toy")  # of flowsuite.core.data
COMPARED = 4000  # points on either side of an energy distance, which takes all pairs
RAW = argparse.RawDescriptionHelpFormatter
SOLVERS = ["euler:1", "euler:2", "euler:4", "euler:8", "euler:16", "heun:4", "rk4:4", "dopri5:1e-5"]
EXAMPLES = """\
examples:
  flowsuite density steps --ckpt_path best.ckpt --data 8gaussians
  flowsuite density certificate --ckpt_path best.ckpt --data core/ffjord-power --data_args '{"root": "/data"}'
  flowsuite density certificate --ckpt_path best.ckpt --data rows.npy --divergence hutchinson
  flowsuite density picture --ckpt_path best.ckpt --data 2spirals --out density.png"""


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        "flowsuite density",
        description="Figures and pictures of a flow of vectors.",
        epilog=f"{EXAMPLES}\n`flowsuite density COMMAND --help` says more.",
        formatter_class=RAW,
    )
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in (
        ("steps", "quality of samples against the number of steps of the solver"),
        ("certificate", "how far the likelihoods can be trusted: tolerances, trace estimate, round trip"),
        ("picture", "data, learnt density and samples side by side (two dimensions)"),
    ):
        lines = [line for line in EXAMPLES.splitlines(keepends=True) if f"density {name} " in line]
        command = commands.add_parser(
            name, help=text, description=text, epilog="examples:\n" + "".join(lines), formatter_class=RAW
        )
        add_model_options(command, "a flow of vectors", "seed of data and noise (%(default)s)")
        command.add_argument(
            "--data",
            required=True,
            help="a toy set, data module (Table) or recipe; or a .npy file of rows (N, D) as the flow sees them: "
            "standardised, for a flow trained on standardised rows",
        )
        command.add_argument("--split", default="test", choices=("train", "val", "test"), help="of a data set (test)")
        command.add_argument("--data_args", default="{}", metavar="JSON", help="arguments of the data module")
        command.add_argument("--num", type=int, default=2000, help="examples (2000)")
        if name == "steps":
            what = f"METHOD:STEPS or METHOD:TOLERANCE ({' '.join(SOLVERS)})"
            command.add_argument("--solvers", nargs="+", default=SOLVERS, metavar="SOLVER", help=what)
        elif name == "certificate":
            command.add_argument("--divergence", help="trace to take, such as hutchinson (the model's eval_divergence)")
            command.add_argument("--probes", type=int, default=16, help="probes for the trace's standard error (16)")
        else:
            command.add_argument("--out", type=Path, required=True, metavar="FILE.png", help="the picture to write")
    return whole


def read_rows(source: str, num: int, seed: int, dim: int, split: str = "test", options: str = "{}") -> Tensor:
    """`num` points of a toy set, or the first `num` rows of a file or of a data module, as a flow sees them.

    Args:
        source: a toy set, a `.npy` file, a data module of `flowsuite.core.data` by name, or a recipe with one.
        dim: the columns expected.
        split: of a data module.
        options: JSON with arguments of the data module.
    """
    from flowsuite.core import data
    from flowsuite.core.data import TOYS, sample_toy
    from flowsuite.core.training.inputs import data_module

    if source in TOYS:
        rows = sample_toy(source, num, seed)
    elif Path(source).suffix == ".npy":
        from flowsuite.core.data.tabular import load_array

        rows = torch.from_numpy(load_array(Path(source))[:num])
    else:
        modules = {name: getattr(data, name) for name in MODULES}
        also = f"a .npy file, one of the toy sets {', '.join(TOYS)}"
        dataset = data_module(source, options, modules, "flowsuite.core.data", also).dataset(split)
        rows = dataset.__getitems__(range(min(num, len(dataset))))
    if rows.ndim != 2 or rows.shape[1] != dim:
        raise ValueError(f"{source}: expected rows of {dim} numbers, got shape {tuple(rows.shape)}")
    return rows.float()


def energy_distance(a: Tensor, b: Tensor) -> float:
    """`2 E|a - b| - E|a - a'| - E|b - b'|` without bias: 0 for samples (N, D), (M, D) of one distribution.

    All pairs of at most the first 4000 of each.
    """

    def within(x: Tensor) -> Tensor:
        return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))

    a, b = a[:COMPARED].double(), b[:COMPARED].double()
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
    print(f"{len(x)} samples of the same noise; energy distance of {min(len(x), COMPARED)} to as many examples")
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


def check_flow(flow: nn.Module, path: str, continuous: bool) -> None:
    """Flows of vectors without a context, with a continuous layer if that is asked for."""
    from flowsuite.core.flow import Flow
    from flowsuite.core.layers.continuous import CNF

    if not isinstance(flow, Flow):
        raise ValueError(f"{path} holds a {type(flow).__name__}, expected a flow of vectors")
    if len(flow.base.shape) != 1:
        raise ValueError(f"{path} holds a flow of events {flow.base.shape}, expected vectors")
    if getattr(flow, "image_shape", None) is not None:
        raise ValueError(f"{path} holds a flow of images {flow.image_shape}, expected vectors")
    nets = list(flow.modules())
    if any(getattr(net, "context_features", 0) or isinstance(getattr(net, "context", None), nn.Module) for net in nets):
        raise ValueError(f"{path} holds a conditional flow, expected one without a context")
    if continuous and not any(isinstance(net, CNF) for net in nets):
        raise ValueError(f"{path} holds no continuous flow")


def main(argv: list[str]) -> int:
    from flowsuite.core.training.files import check_writable
    from flowsuite.core.training.module import FlowModule

    args = parser().parse_args(argv)
    if args.num < 2:
        raise ValueError(f"--num must be at least 2, got {args.num}")
    if args.command == "picture":
        check_writable(args.out)
    flow = open_model(args, FlowModule, "a flow").flow
    check_flow(flow, args.ckpt_path, continuous=args.command != "picture")
    x = read_rows(args.data, args.num, args.seed, flow.base.shape[0], args.split, args.data_args)
    if len(x) < 2:
        raise ValueError(f"{args.data}: expected at least 2 rows, got {len(x)}")
    x = x.to(flow.base.anchor)
    RUN[args.command](flow, x, args)
    return 0

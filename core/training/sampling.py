"""`flowsuite sample`: generate from a checkpoint of any domain, on any number of devices."""

from __future__ import annotations

import argparse
import inspect
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from flowsuite.core.training.checkpoint import load_module
from flowsuite.core.training.cli import has_module, import_alone
from flowsuite.core.training.contexts import context_for, read_context, rows_in_turn
from flowsuite.core.training.files import output_folder
from flowsuite.core.training.model_options import add_model_options
from flowsuite.core.training.module import FlowModule
from flowsuite.core.training.recipes import rooms
from flowsuite.core.training.seeding import fold_seed
from flowsuite.core.wording import plural

HELP = "Generate from a checkpoint: samples are written to a folder in the format of the model's domain."
EXAMPLE = """examples:
  flowsuite sample --ckpt_path model.ckpt --num 64 --temperature 0.7 --out samples
  flowsuite sample --ckpt_path model.ckpt --num 50000 --batch_size 500 --devices 4 --out samples
  flowsuite sample --ckpt_path model.ckpt --num 16 --class 3 --out threes
  flowsuite sample --ckpt_path conditional.ckpt --context rows.npy --out one_a_row
  flowsuite sample --ckpt_path ffjord.ckpt --num 10000 --batch_size 10000 --solver euler:8 --out eight_steps
  flowsuite sample --ckpt_path waveflow.ckpt --from recordings/ --num 16 --temperature 0.9 --out said
  flowsuite sample --ckpt_path pointflow.ckpt --num 24 --points 10000 --truncation 2 --out chairs
The samples depend on --seed, --num and --batch_size, not on --devices."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "flowsuite sample", description=HELP, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add_model_options(parser, "any model", "seed of the random numbers (%(default)s)", device=False)
    add("--num", type=int, help="number of samples (64; with --context, one of each row)")
    add("--temperature", type=float, default=1.0, help="factor on the standard latents (1.0)")
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder to write to; made if it is not there")
    add("--batch_size", type=int, default=64, help="samples generated at a time (64)")
    add("--devices", type=int, default=1, help="GPUs, or processes where there is no GPU (1)")
    add(
        "--class",
        dest="label",
        type=int,
        help="class of all samples; without it, a conditional model takes its classes in turn",
    )
    add(
        "--context",
        metavar="FILE",
        help="for a model conditional on numbers: .npy or .npz of rows (rows, C), which the samples take in turn",
    )
    add("--solver", help="METHOD:STEPS or METHOD:TOLERANCE for continuous flows, such as euler:4 or dopri5:1e-6")
    for name, (kind, text, *also) in domain_options().items():
        if kind is bool:
            add(f"--{name}", *also, action="store_true", default=None, help=text)
        else:
            add(f"--{name}", *also, type=kind, help=text)
    return parser


def domain_options() -> dict[str, tuple]:
    """Further options, from the module `sampling` of every domain that has one: name -> (type, help, other names).

    They are keyword arguments of `generate`, or of `finish_samples`, of the domain's `FlowModule`; the type bool makes
    a switch.
    """
    found = {}
    for domain in rooms():
        if has_module(f"flowsuite.{domain}", "sampling"):
            found |= import_alone(f"flowsuite.{domain}", "sampling").OPTIONS
    return found


def chosen(module: FlowModule, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """The `domain_options` that were given, if the model takes them: those of `generate`, those of `finish_samples`."""
    given = {name: getattr(options, name) for name in domain_options() if getattr(options, name) is not None}
    takers = [inspect.signature(function).parameters for function in (module.generate, module.finish_samples)]
    for name in given:
        if not any(name in taker for taker in takers):
            raise ValueError(f"--{name}: a {type(module).__name__} takes no such option")
    generate, finish = ({name: value for name, value in given.items() if name in taker} for taker in takers)
    return generate, finish


def check(options: argparse.Namespace) -> None:
    """That the options make sense; without a number of samples, sets it."""
    if options.num is None:
        options.num = len(read_context(options.context)) if options.context else 64
    for name in ("num", "batch_size", "devices"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(options, name)}")
    if not 0 <= options.temperature < float("inf"):
        raise ValueError(f"--temperature must be a number >= 0, got {options.temperature}")
    if options.label is not None and options.label < 0:
        raise ValueError(f"--class must be at least 0, got {options.label}")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out must be a folder, {options.out} is a file")
    if torch.cuda.is_available() and options.devices > torch.cuda.device_count():
        raise ValueError(f"--devices {options.devices}: there are {torch.cuda.device_count()} GPUs")
    if not os.path.isfile(options.ckpt_path):
        raise FileNotFoundError(f"no checkpoint at {options.ckpt_path}")


def check_model(module: FlowModule, options: argparse.Namespace) -> None:
    """That the model can do what it is asked for."""
    chosen(module, options)
    context_for(module, options.context)
    label = options.label
    classes = getattr(module.flow, "n_classes", 0)
    if label is not None and label >= classes:
        known = f"its classes are 0..{classes - 1}" if classes else "this model is not conditional on a class"
        raise ValueError(f"--class {label}: {known}")


def labels_of(module: FlowModule, label: int | None, first: int, n: int, device: torch.device) -> torch.Tensor | None:
    """The class of samples `first` to `first + n - 1`: the one asked for, else all in turn; None without classes."""
    classes = getattr(module.flow, "n_classes", 0)
    if not classes:
        return None
    if label is None:
        return torch.arange(first, first + n, device=device) % classes
    return torch.full((n,), label, device=device)


@torch.no_grad()
def batches(module: FlowModule, options: argparse.Namespace, rank: int) -> Iterator[tuple[int, int]]:
    """Generates and writes the batches that are this process's; gives (first sample, number) of each.

    Batch number `i` draws from a generator seeded by `(seed, i)`, whoever computes it. A `generate` with an argument
    `first` is told the number of its first sample.
    """
    device, (further, _) = next(module.parameters()).device, chosen(module, options)
    context = context_for(module, options.context)
    for index, first in enumerate(range(0, options.num, options.batch_size)):
        if index % options.devices != rank:
            continue
        n = min(options.batch_size, options.num - first)
        generator = torch.Generator(device).manual_seed(fold_seed(options.seed, "sample", index))
        labels = labels_of(module, options.label, first, n, device)
        given = labels if context is None else rows_in_turn(context, first, n)
        if "first" in inspect.signature(module.generate).parameters:
            further["first"] = first
        samples = module.generate(n, given, options.temperature, generator, **further)
        module.save_samples(samples, options.out, first)
        yield first, n


def device_of(rank: int) -> torch.device:
    return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")


def load(options: argparse.Namespace, rank: int) -> FlowModule:
    module = load_module(options.ckpt_path, device_of(rank), not options.raw_weights, options.allow)
    if options.solver:
        from flowsuite.core.layers.continuous import set_eval_solver
        from flowsuite.core.ode import solver_by_name

        set_eval_solver(module, solver_by_name(options.solver))
    return module


def worker(rank: int, options: argparse.Namespace, progress: str) -> None:
    """One process of several; what it has done it appends to its file in the folder `progress`."""
    torch.set_num_threads(max(1, torch.get_num_threads() // options.devices))
    module = load(options, rank)
    with open(Path(progress) / str(rank), "a", encoding="ascii") as file:
        for _, n in batches(module, options, rank):
            print(n, file=file, flush=True)


def run_parallel(options: argparse.Namespace) -> Iterator[int]:
    """Starts a process a device, and gives the number of samples done since the last time."""
    with tempfile.TemporaryDirectory() as progress:
        processes = torch.multiprocessing.spawn(worker, (options, progress), options.devices, join=False)
        done, running = 0, True
        while running:
            running = not processes.join(timeout=0.2)
            total = sum(int(n) for path in Path(progress).iterdir() for n in path.read_text().split())
            yield total - done
            done = total


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    check(options)
    from rich.progress import Progress

    begin = time.perf_counter()
    if options.devices == 1:
        module = load(options, 0)
        check_model(module, options)
        steps = (n for _, n in batches(module, options, 0))
    else:
        module = load_module(options.ckpt_path, "cpu", allow=options.allow)
        check_model(module, options)
        steps = run_parallel(options)
    with output_folder(options.out), Progress() as progress:
        task = progress.add_task("sampling", total=options.num)
        for n in steps:
            progress.advance(task, n)
    said = module.finish_samples(options.out, range(0, options.num, options.batch_size), **chosen(module, options)[1])
    if said:
        print(said)
    print(f"{plural(options.num, 'sample')} in {options.out} ({time.perf_counter() - begin:.1f} s)")
    return 0

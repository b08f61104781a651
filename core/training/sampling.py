"""`flowsuite sample`: generate from a checkpoint of any domain, on any number of devices."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from flowsuite.core.training.checkpoint import load_module
from flowsuite.core.training.contexts import context_for, read_context, rows_in_turn
from flowsuite.core.training.files import output_folder
from flowsuite.core.training.interrupts import terminable
from flowsuite.core.training.module import FlowModule
from flowsuite.core.training.sampling_options import chosen
from flowsuite.core.training.seeding import fold_seed
from flowsuite.core.wording import plural


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
    with terminable(), open(Path(progress) / str(rank), "a", encoding="ascii") as file:
        module = load(options, rank)
        for _, n in batches(module, options, rank):
            print(n, file=file, flush=True)


def run_parallel(options: argparse.Namespace) -> Iterator[int]:
    """Starts a process a device, and gives the number of samples done since the last time."""
    with tempfile.TemporaryDirectory() as progress:
        processes = torch.multiprocessing.spawn(worker, (options, progress), options.devices, join=False)
        done, running = 0, True
        try:
            while running:
                running = not processes.join(timeout=0.2)
                total = sum(int(n) for path in Path(progress).iterdir() for n in path.read_text().split())
                yield total - done
                done = total
        finally:
            for process in processes.processes:  # where this one was stopped they have to end, and to tidy up, first
                if process.is_alive():
                    process.terminate()
                process.join()


def run(options: argparse.Namespace) -> int:
    """Generates and writes what `options` of `sampling_options.parser` ask for. Ended early, by an error, Ctrl-C or
    SIGTERM, it leaves whole samples, and nothing that had still to be put together."""
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
    firsts = range(0, options.num, options.batch_size)
    with terminable(), output_folder(options.out), discarding(module, options.out, firsts):
        with contextlib.closing(steps), Progress() as progress:
            task = progress.add_task("sampling", total=options.num)
            for n in steps:
                progress.advance(task, n)
        said = module.finish_samples(options.out, firsts, **chosen(module, options)[1])
    if said:
        print(said)
    print(f"{plural(options.num, 'sample')} in {options.out} ({time.perf_counter() - begin:.1f} s)")
    return 0


@contextlib.contextmanager
def discarding(module: FlowModule, out: Path, firsts: range) -> Iterator[None]:
    """If the block fails, what the module wrote for its `finish_samples` only goes again."""
    try:
        yield
    except BaseException:
        module.discard_samples(out, firsts)
        raise

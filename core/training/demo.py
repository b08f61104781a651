"""`flowsuite demo`: every `demo` module trains something small, generates, and gets a section of one page."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from flowsuite.core.training.cli import debugging, summary
from flowsuite.core.training.curves import losses_of
from flowsuite.core.training.demo_page import FAILED, Section, render_section, write_page
from flowsuite.core.training.demo_parts import Part, Plan, find_parts, in_words
from flowsuite.core.training.files import make_folder

__all__ = ["Section", "main", "train_recipe", "write_page"]

EXAMPLES = """examples:
  flowsuite demo
  flowsuite demo --only images molecules --seed 1 --out runs/two
  flowsuite demo --minutes 5
Parts: {parts}.
The usual minutes are those of two CPU cores."""


def train_recipe(recipe: str, folder: Path, options: Sequence[str] = (), kind: str = "best") -> tuple[Path, str]:
    """Trains a recipe into `<root>/<recipe>`, `folder` being `<root>/...`; its checkpoint and the command.

    `kind` is "best" or "last"; `options` are further options of `flowsuite fit`.

    Raises:
        KeyboardInterrupt: a signal ended the training.
    """
    from flowsuite.core.training.lightning_cli import run
    from flowsuite.core.training.runs import newest_checkpoint

    make_folder(folder)
    command = ["fit", "--config", recipe, "--trainer.default_root_dir", str(folder.parent), *options]
    status = run(command)
    if status >= 128:
        raise KeyboardInterrupt
    if status:
        raise RuntimeError(f"training of {recipe} ended with exit code {status}")
    found = newest_checkpoint(folder.parent / recipe, kind)
    if found is None:
        raise FileNotFoundError(f"training left no checkpoint below {folder.parent / recipe}")
    return found[0], shlex.join(["flowsuite", *command])


def run_part(part: Part, folder: Path, seed: int | None) -> Section:
    """The section of one part; what went wrong with it is its `problem`, and printed."""
    start = time.perf_counter()
    try:
        module = importlib.import_module(part.module)
        section = module.run(folder, [] if seed is None else [part.seed, str(seed)])
        if section.checkpoint is not None:
            section.curves = losses_of(section.checkpoint)
        render_section(section, 0)  # for its errors to be this part's alone
    except ModuleNotFoundError as error:
        if (error.name or "flowsuite").partition(".")[0] == "flowsuite":
            return failed(part, error)
        return left_out(part, part.advice(error.name))
    except Exception as error:
        return failed(part, error)
    section.seconds = time.perf_counter() - start
    return section


def failed(part: Part, error: Exception) -> Section:
    if debugging():
        traceback.print_exception(error)
    problem = f"{FAILED}{summary(error)}"
    print(f"flowsuite: error: {part.name} {problem}", file=sys.stderr)
    return Section(part.name, "", problem=problem)


def left_out(part: Part, reason: str) -> Section:
    print(f"left out: {part.name}, {reason}")
    return Section(part.name, "", problem=f"left out: {reason}")


def run_parts(parts: Sequence[Part], out: Path, seed: int | None, minutes: float | None) -> list[Section]:
    """The sections of all parts; the page is written after each, so that an interrupt loses one at most."""
    plan, start, sections = Plan(parts, minutes), time.perf_counter(), []
    for number, part in enumerate(parts, 1):
        spent = time.perf_counter() - start
        if missing := part.missing():
            sections.append(left_out(part, part.advice(missing)))
        elif part not in plan.fitting(spent):
            usual = f"it usually takes about {in_words(part.seconds)}"
            sections.append(left_out(part, f"{usual}, and {in_words(spent)} of {minutes:g} min are over"))
        else:
            usual, to_go = in_words(part.seconds), in_words(plan.to_go(spent))
            said = f"part {number} of {len(parts)}: {part.name}, usually about {usual}"
            print(f"\n{said}; {in_words(spent)} so far, about {to_go} to go", flush=True)
            section = run_part(part, out / part.name, seed)
            if section.seconds is not None:
                plan.done(part, section.seconds)
            sections.append(section)
        plan.waiting.remove(part)
        write_page(sections, out, introduction(time.perf_counter() - start))
    return sections


def introduction(seconds: float) -> str:
    from importlib.metadata import version

    versions = ", ".join(f"{name} {version(name)}" for name in ("flowsuite", "torch", "pytorch-lightning"))
    return (
        f"Trained, generated and measured by flowsuite demo in {in_words(seconds)} on {os.cpu_count()} CPU cores, "
        f"{time.strftime('%Y-%m-%d')}; {versions}, Python {platform.python_version()}. Point clouds turn by mouse, "
        "finger or arrow keys; a double click turns them back."
    )


def positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def make_parser(parts: dict[str, Part]) -> argparse.ArgumentParser:
    usual = ", ".join(f"{part.name} ({in_words(part.seconds)})" for part in parts.values())
    parser = argparse.ArgumentParser(
        "flowsuite demo",
        description="Trains the demo recipe of every domain, generates from it, and writes one page with all results.",
        epilog=EXAMPLES.format(parts=usual),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        default=Path("runs/demo"),
        metavar="FOLDER",
        help="folder of index.html and of all files (%(default)s)",
    )
    names = f"some of: {', '.join(parts)}"
    add("--only", "--domains", nargs="+", choices=parts, metavar="NAME", help=names)
    add("--minutes", type=positive, metavar="M", help="leave out parts that, by their usual duration, end later")
    add("--seed", type=int, metavar="N", help="of every training (that of its recipe, 0)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """The command; 1 if a part failed."""
    parts = find_parts()
    args = make_parser(parts).parse_args(argv)
    make_folder(args.out)
    start = time.perf_counter()
    chosen = [part for name, part in parts.items() if name in (args.only or parts)]
    sections = run_parts(chosen, args.out, args.seed, args.minutes)
    shown = sum(not section.problem for section in sections)
    print(f"\n{shown} of {len(sections)} parts in {in_words(time.perf_counter() - start)}")
    print(f"Open {(args.out / 'index.html').resolve()}")
    return int(any(section.problem.startswith(FAILED) for section in sections))

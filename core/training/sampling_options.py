"""The options of `flowsuite sample`, and its beginning. Only the standard library is imported here: help must answer
at once."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsuite.core.training.cli import has_module, import_alone
from flowsuite.core.training.model_options import add_model_options
from flowsuite.core.training.recipes import rooms

if TYPE_CHECKING:
    from flowsuite.core.training.module import FlowModule

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


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    from flowsuite.core.training.sampling import run

    return run(options)

"""The options with which every command takes a trained model. Only the standard library is imported here."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowsuite.core.training.module import FlowModule

SEED = "seed of whatever is random (%(default)s)"
QUIET = "no progress bars"


def add_model_options(parser: argparse.ArgumentParser, of: str, seed: str = SEED, device: bool = True) -> None:
    """`--ckpt_path`, `--device`, `--seed`, `--raw_weights` and `--allow`, the same for every command.

    Args:
        of: what the checkpoint holds, such as "a trained vocoder".
        seed: what the seed is for.
        device: false for a command that spreads over several itself.
    """
    add = parser.add_argument
    add("--ckpt_path", required=True, metavar="CHECKPOINT", help=f"checkpoint of {of}, written by fit or import")
    if device:
        add("--device", help="cpu, cuda, ...; the GPU if there is one")
    add("--seed", type=int, default=0, help=seed)
    add("--raw_weights", action="store_true", help="take the trained weights even if there are averaged ones")
    add("--allow", action="append", default=[], metavar="PACKAGE", help="package whose classes the checkpoint may name")


def open_model(args: argparse.Namespace, kind: type, what: str) -> FlowModule:
    """The module of `--ckpt_path` on `--device`.

    Args:
        args: with what `add_model_options` adds.
        kind: the class it must be of.
        what: that class in words.

    Raises:
        ValueError: it is a module of another kind.
    """
    import torch

    from flowsuite.core.training.checkpoint import load_module

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    module = load_module(args.ckpt_path, device, not args.raw_weights, args.allow)
    if not isinstance(module, kind):
        raise ValueError(f"{args.ckpt_path} holds a {type(module).__name__}, expected {what}")
    return module


def positive(text: str) -> int:
    """The type of an option that counts something."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def png(text: str) -> str:
    """The type of an option that names a picture to write."""
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"must end in .png, got {text}")
    return text


class Temperatures(argparse.Action):
    """Numbers, not negative, with blanks, commas or both between them: `--temperatures 0.5 0.7` or `0.5,0.7`."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any):
        super().__init__(option_strings, dest, nargs="+", metavar="T", **options)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None):
        try:
            numbers = [float(part) for text in values for part in text.strip(",").split(",")]
        except ValueError:
            numbers = [-1.0]
        if not all(0 <= number < math.inf for number in numbers):
            raise argparse.ArgumentError(self, f"expected numbers >= 0 such as 0.6 0.8 1.0, got {' '.join(values)}")
        setattr(namespace, self.dest, numbers)

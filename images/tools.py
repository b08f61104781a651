"""What the commands that take a trained image flow share: options, the checkpoint, the images."""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor

from flowsuite.core.training.files import check_writable
from flowsuite.core.training.model_options import QUIET, add_model_options, open_model, png, positive
from flowsuite.core.training.pictures import enlarge, grid, write_png
from flowsuite.images.flow import ImageFlow
from flowsuite.images.inputs import open_images


def make_parser(
    command: str, what: str, example: str, data: bool = True, picture: bool = True
) -> argparse.ArgumentParser:
    """A parser with the options that all have; `data` and `picture`: those of commands that read or write images."""
    parser = argparse.ArgumentParser(
        f"flowsuite images {command}",
        description=what,
        epilog=f"examples:\n  flowsuite images {command} --ckpt_path best.ckpt {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser, "a trained image flow")
    parser.add_argument("--batch_size", type=positive, default=64, help="images at a time (%(default)s)")
    parser.add_argument("--quiet", action="store_true", help=QUIET)
    parser.add_argument("--class", dest="label", type=int, help="class, for models that are conditional on one")
    if data:
        add_data_options(parser, "CIFAR10", "images/demo")
        parser.add_argument("--resize", action="store_true", help="bring image files to the model's size")
    if picture:
        add_picture_option(parser)
    return parser


def add_data_options(parser: argparse.ArgumentParser, module: str, recipe: str) -> None:
    """`--data`, `--split` and `--data_args`, with the examples of a data module and a recipe."""
    where = f"image files; or a folder, a .npz, a data module such as {module}, a recipe such as {recipe}"
    parser.add_argument("--data", nargs="+", required=True, metavar="DATA", help=where)
    parser.add_argument("--split", default="test", choices=("train", "val", "test"), help="of a data set (test)")
    parser.add_argument("--data_args", default="{}", metavar="JSON", help="arguments of the data module")


def add_picture_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="FILE.png", type=png, help="the picture to write")


def load_flow(args: argparse.Namespace):
    """The module of a checkpoint, on the device asked for, once it is clear that the results can be written."""
    check_writable(vars(args).get("out"), vars(args).get("json"))
    from flowsuite.images.module import ImageFlowModule

    return open_model(args, ImageFlowModule, "a model of images")


def load_images(args: argparse.Namespace, flow: ImageFlow):
    return open_images(args.data, flow, args.split, args.resize, args.data_args)


def save(path: str | Path, images: Tensor, columns: int | None = None) -> None:
    """Writes a grid of images, enlarged, and says where."""
    print(write_png(path, enlarge(grid(images, columns), 384)))

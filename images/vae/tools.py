"""What the commands for variational autoencoders share: options, the checkpoint, the images."""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor

from flowsuite.core.training.files import check_writable
from flowsuite.core.training.model_options import QUIET, add_model_options, open_model
from flowsuite.core.training.pictures import enlarge, grid, write_png
from flowsuite.images.commands import png, positive
from flowsuite.images.inputs import open_images
from flowsuite.images.vae.model import FlowVAE

__all__ = ["dataset_of", "load_vae", "make_parser", "positive", "save"]


def make_parser(command: str, what: str, example: str, picture: bool = True) -> argparse.ArgumentParser:
    """A parser with the options that all have."""
    parser = argparse.ArgumentParser(
        f"flowsuite images vae {command}",
        description=what,
        epilog=f"examples:\n  flowsuite images vae {command} --ckpt_path best.ckpt {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser, "a trained autoencoder")
    parser.add_argument("--batch_size", type=positive, default=100, help="images at a time (%(default)s)")
    parser.add_argument("--quiet", action="store_true", help=QUIET)
    where = "image files; or a folder, a .npz, a data module such as BinaryMNIST, a recipe such as images/vae-demo"
    parser.add_argument("--data", nargs="+", required=True, metavar="DATA", help=where)
    parser.add_argument("--split", default="test", choices=("train", "val", "test"), help="of a data set (test)")
    parser.add_argument("--data_args", default="{}", metavar="JSON", help="arguments of the data module")
    if picture:
        parser.add_argument("--out", required=True, metavar="FILE.png", type=png, help="the picture to write")
    return parser


def load_vae(args: argparse.Namespace) -> FlowVAE:
    """The model of a checkpoint, on the device asked for, once it is clear that the results can be written."""
    check_writable(vars(args).get("out"), vars(args).get("json"))
    from flowsuite.images.vae.module import VAEModule

    return open_model(args, VAEModule, "a variational autoencoder").flow


def dataset_of(args: argparse.Namespace, flow: FlowVAE):
    return open_images(args.data, flow, args.split, False, args.data_args)


def save(path: str | Path, images: Tensor, columns: int) -> None:
    print(write_png(path, enlarge(grid(images, columns), 384)))

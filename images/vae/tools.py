"""What the commands for variational autoencoders share: options, the checkpoint, the images."""

from __future__ import annotations

import argparse

from flowsuite.core.training.files import check_writable
from flowsuite.core.training.model_options import QUIET, add_model_options, open_model, positive
from flowsuite.images.inputs import open_images
from flowsuite.images.tools import add_data_options, add_picture_option, save
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
    add_data_options(parser, "BinaryMNIST", "images/vae-demo")
    if picture:
        add_picture_option(parser)
    return parser


def load_vae(args: argparse.Namespace) -> FlowVAE:
    """The model of a checkpoint, on the device asked for, once it is clear that the results can be written."""
    check_writable(vars(args).get("out"), vars(args).get("json"))
    from flowsuite.images.vae.module import VAEModule

    return open_model(args, VAEModule, "a variational autoencoder").flow


def dataset_of(args: argparse.Namespace, flow: FlowVAE):
    return open_images(args.data, flow, args.split, False, args.data_args)

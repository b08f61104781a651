"""What the commands that take a trained VideoFlow share: its checkpoint, videos by name, arguments."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from flowsuite.core.training.files import check_writable
from flowsuite.core.training.model_options import QUIET, add_model_options, open_model, positive
from flowsuite.core.training.seeding import fold_seed
from flowsuite.video.continuations import clip_set
from flowsuite.video.data_base import WindowSet
from flowsuite.video.module import VideoModule


def make_parser(name: str, what: str, examples: str, videos: int) -> argparse.ArgumentParser:
    """A parser with the arguments of all these commands; `videos` is how many they take by default."""
    lines = "\n".join(f"  flowsuite video {name} --ckpt_path best.ckpt {line}" for line in examples.splitlines())
    parser = argparse.ArgumentParser(
        f"flowsuite video {name}",
        description=what,
        epilog=f"examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add_model_options(parser, "a trained VideoFlow")
    where = "video, folder of videos, data module such as MovingShapes, or recipe such as video/demo"
    add("--data", required=True, help=where)
    add("--data_args", default="{}", metavar="JSON", help="arguments of the data module")
    add("--split", default="test", choices=("train", "val", "test"), help="of a data module or recipe (%(default)s)")
    add("--num", type=positive, default=videos, metavar="N", help="the first so many videos (%(default)s)")
    add("--start", type=int, default=0, help="first frame taken of each video (%(default)s)")
    add("--given", type=positive, help="frames that are given, the context (as the model was trained)")
    add("--quiet", action="store_true", help=QUIET)
    return parser


def load_model(args: argparse.Namespace, *outputs) -> VideoModule:
    """The module of `--ckpt_path`, once it is clear that the outputs can be written; sets `args.given` and
    `args.temperature` to what the model is configured for."""
    check_writable(*outputs)
    if args.start < 0:
        raise ValueError(f"--start must be at least 0, got {args.start}")
    module = open_model(args, VideoModule, "a VideoModule")
    args.given = module.context_frames if args.given is None else args.given
    if vars(args).get("temperature", 0) is None:
        args.temperature = module.temperature
    if args.given < 1:
        raise ValueError("the model was trained without context: say how many frames are --given")
    module.check_given(args.given)
    return module


def open_windows(args: argparse.Namespace, module: VideoModule, num_frames: int) -> WindowSet:
    """The first `--num` videos of `--data` from frame `--start` on, `num_frames` of each."""
    clips = clip_set(module, args.data, args.split, args.data_args)
    if clips.shape != module.flow.video_shape:
        raise ValueError(f"{args.data}: frames are {clips.shape}, the model wants {module.flow.video_shape} (C, H, W)")
    args.num = min(args.num, len(clips))
    return WindowSet(clips, num_frames, args.start)


def take(windows: WindowSet, indices) -> Tensor:
    """Frames (B, T, C, H, W) uint8 of the videos with these numbers."""
    for i in indices:
        if not 0 <= i < len(windows):
            raise ValueError(f"video number {i} does not exist: the set has {len(windows)}, numbered from 0")
    return windows.__getitems__(list(indices)).frames


def generator_for(module: VideoModule, seed: int, *parts: int | str) -> torch.Generator:
    """A generator on the module's device, seeded by all of these."""
    return torch.Generator(module.device).manual_seed(fold_seed(seed, *parts))


def parse_temperature(text: str) -> float | list[float]:
    """One number, or one a level (finest first) with commas."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [-1.0]
    if not all(0 <= value < float("inf") for value in values):
        raise argparse.ArgumentTypeError(f"expected a number >= 0 such as 0.7, or one a level such as 0.5,1,1: {text}")
    return values[0] if len(values) == 1 else values


def add_temperature(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--temperature",
        type=parse_temperature,
        metavar="T[,T...]",
        help="factor on sigma of the priors, or one a level, finest first (as the model is configured)",
    )

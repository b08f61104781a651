"""`flowsuite video evaluate`: likelihood and the best of N samples of a checkpoint; an interrupted run goes on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.training.files import make_folder, read_json, write_json, write_npz
from flowsuite.core.training.model_options import positive
from flowsuite.core.training.numpy_files import load_npz
from flowsuite.core.training.pictures import enlarge, grid, write_png
from flowsuite.video.curves import write_curves
from flowsuite.video.data_base import WindowSet
from flowsuite.video.data_shapes import ShapeClips
from flowsuite.video.evaluation import HEADINGS, Part, Protocol, evaluate_part, format_report, summarize
from flowsuite.video.generation import sample_videos
from flowsuite.video.gif import context_truth_samples, write_gif
from flowsuite.video.metrics.shapes import SHAPE_FRAME
from flowsuite.video.module import VideoModule
from flowsuite.video.tools import (
    add_temperature,
    generator_for,
    load_model,
    make_parser,
    open_windows,
    take,
)

EXAMPLES = """\
--data video/demo --samples 100 --out evaluation
--data BAIR --data_args '{"root": "/data"}' --given 3 --frames 10 --num 256 --out bair --vgg vgg16.pth --i3d i3d.pt"""
SHOWN = 5


def describe(args: argparse.Namespace, protocol: Protocol) -> dict[str, Any]:
    """What parts of an evaluation have in common: parts that differ in it must not be mixed."""
    stat = Path(args.ckpt_path).stat()
    names = ("given", "frames", "samples", "draws", "temperature", "seed", "shapes", "vgg", "i3d", "at_once")
    return {
        "checkpoint": [str(Path(args.ckpt_path).resolve()), stat.st_size, stat.st_mtime_ns],
        "data": [args.data, args.data_args, args.split, args.start],
        "batch_size": args.batch_size,
        "raw_weights": args.raw_weights,
        **{name: getattr(protocol, name) for name in names},
    }


def check_settings(folder: Path, settings: dict[str, Any], again: bool) -> None:
    """That the folder is new, or of an evaluation with these settings.

    Raises:
        ValueError: it holds another one.
    """
    path = folder / "settings.json"
    if path.is_file() and not again:
        before = read_json(path)
        differing = [name for name, value in settings.items() if before.get(name) != value]
        if differing:
            raise ValueError(
                f"{folder} holds an evaluation with another {differing[0]}: choose another --out, or --overwrite"
            )
    if again:
        for part in (folder / "parts").glob("*.npz"):
            part.unlink()
    write_json(path, settings)


def read_part(path: Path) -> Part:
    return {name: torch.from_numpy(array) for name, array in load_npz(path).items()}


def evaluate(
    module: VideoModule, windows: WindowSet, num: int, protocol: Protocol, batch_size: int, folder: Path, quiet: bool
) -> dict[str, Any]:
    """The report on the first `num` videos; parts that `folder` has already are not computed again."""
    from rich.progress import Progress

    parts = []
    with Progress(disable=quiet or not sys.stderr.isatty()) as progress:
        task = progress.add_task("evaluating", total=num)
        for first in range(0, num, batch_size):
            last = min(first + batch_size, num)
            path = folder / "parts" / f"{first:06d}_{last:06d}.npz"
            if not path.is_file():
                part = evaluate_part(module, take(windows, range(first, last)), protocol, first)
                write_npz(path, **{name: value.numpy() for name, value in part.items()})
            parts.append(read_part(path))
            progress.advance(task, last - first)
    return summarize(parts, module.flow.dims, protocol)


def show(module: VideoModule, windows: WindowSet, report: dict[str, Any], protocol: Protocol, folder: Path) -> None:
    """`samples.gif` of the first video, and `curves.png` of all metrics over frames."""
    truth = take(windows, [0])
    generator = generator_for(module, protocol.seed, "samples", 0)
    n = min(SHOWN, protocol.samples)
    found = sample_videos(
        module, truth[:, : protocol.given], protocol.frames, n, protocol.temperature, generator, protocol.at_once
    )
    write_gif(folder / "samples.gif", context_truth_samples(truth[0], found[0], protocol.given), fps_of(truth.shape[1]))
    x = list(range(protocol.given + 1, protocol.given + protocol.frames + 1))
    charts = [("bits/dim", "frame", x, {"mean over videos": report["bits_per_dim"]["by_frame"]})]
    for name, values in report["best_of_n"].items():
        title = f"{HEADINGS[name]}, {protocol.samples} samples"
        charts.append((title, "frame", x, {key: values[f"{key}_by_frame"] for key in ("best", "mean", "worst")}))
    write_curves(folder / "curves.png", charts)


def overlay(samples: Tensor, ground: Tensor) -> Tensor:
    """All of (N, C, H, W) in one picture (C, H, W): at each pixel the sample that differs most from `ground` (C,)."""
    difference = (samples.float() - ground.float()[:, None, None]).abs().amax(1)
    chosen = difference.argmax(0)[None, None].expand(1, *samples.shape[1:])
    return samples.gather(0, chosen)[0]


def show_directions(folder: Path) -> None:
    """`directions.png`: above the given frames of the first part, below all samples of each in one picture."""
    part = read_part(min((folder / "parts").glob("*.npz")))
    context, samples = part["shape_context"], part["shape_samples"]
    laid = [overlay(found, given[:, 0, 0]) for given, found in zip(context, samples, strict=True)]
    write_png(folder / "directions.png", enlarge(grid(torch.cat([context, torch.stack(laid)]), len(context), 2), 768))


def fps_of(frames: int) -> float:
    return 2.0 if frames < 8 else 8.0


def main(argv: list[str]) -> int:
    """Runs the command; errors are exceptions with a message of one line."""
    parser = make_parser("evaluate", __doc__, EXAMPLES, videos=256)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="for report, pictures, and parts to go on from")
    add("--frames", type=positive, help="predicted frames (as the model was trained)")
    add("--samples", type=int, default=100, metavar="N", help="of every video; 0 for the likelihood only (%(default)s)")
    add("--draws", type=positive, default=1, help="dequantisation draws for bits/dim (%(default)s)")
    add("--batch_size", type=positive, default=8, help="videos at a time, which a part holds (%(default)s)")
    add("--at_once", type=positive, default=64, help="samples generated together (%(default)s)")
    add("--vgg", default="", metavar="FILE", help="weights of torchvision's VGG16, or TorchScript, for VGG cosine")
    add("--i3d", default="", metavar="FILE", help="I3D as TorchScript, for FVD; see flowsuite.video.metrics.networks")
    add("--json", type=Path, metavar="FILE", help="write the report there too")
    add("--overwrite", action="store_true", help="begin anew in a folder that holds another evaluation")
    add_temperature(parser)
    args = parser.parse_args(argv)
    if args.samples < 0:
        raise ValueError(f"--samples must be at least 0, got {args.samples}")
    make_folder(args.out)
    module = load_model(args, args.out / "report.json", args.json)
    frames = module.num_frames - module.context_frames if args.frames is None else args.frames
    windows = open_windows(args, module, args.given + frames)
    names = ("given", "samples", "draws", "temperature", "seed", "vgg", "i3d", "at_once")
    shapes = isinstance(windows.clips, ShapeClips) and args.start == 0 and args.given <= SHAPE_FRAME
    protocol = Protocol(frames=frames, shapes=shapes, **{name: getattr(args, name) for name in names})
    for name in ("vgg", "i3d"):
        protocol.network(name)
    check_settings(args.out, describe(args, protocol), args.overwrite)
    report = evaluate(module, windows, args.num, protocol, args.batch_size, args.out, args.quiet)
    for path in filter(None, (args.out / "report.json", args.json)):
        write_json(path, report)
    if protocol.samples and protocol.shapes:
        show_directions(args.out)
    if protocol.samples:
        show(module, windows, report, protocol, args.out)
    print(format_report(report))
    return 0

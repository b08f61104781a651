"""`flowsuite video sweep`: what the temperature does to samples."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.training.files import make_folder, write_json
from flowsuite.core.training.model_options import Temperatures, positive
from flowsuite.video.curves import write_curves
from flowsuite.video.data_base import WindowSet
from flowsuite.video.data_shapes import ShapeClips
from flowsuite.video.evaluate import fps_of
from flowsuite.video.evaluation import HEADINGS, Protocol, compare
from flowsuite.video.generation import sample_videos
from flowsuite.video.gif import side_by_side, write_gif
from flowsuite.video.metrics.best_of_n import best_of_n
from flowsuite.video.metrics.frechet import frechet_distance
from flowsuite.video.metrics.pixels import frame_metrics
from flowsuite.video.metrics.shapes import SHAPE_FRAME, shape_report
from flowsuite.video.module import VideoModule
from flowsuite.video.tools import (
    generator_for,
    load_model,
    make_parser,
    open_windows,
    take,
)

TEMPERATURES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
SHOWN = 6  # temperatures in the GIF
EXAMPLES = """\
--data video/demo --out sweep
--data BAIR --num 32 --samples 20 --temperatures 0.3 0.5 0.7 1.0 --out sweep"""


def figures(context: Tensor, truth: Tensor, samples: Tensor, protocol: Protocol) -> dict[str, float]:
    """Best, mean and diversity of samples (V, N, T, C, H, W), and what became of shapes."""
    part = compare(context, truth, samples, protocol)
    found = {}
    for name in frame_metrics(truth):
        curves = best_of_n(part[name].transpose(0, 1))
        found |= {f"{name}_best": curves.best.mean().item(), f"{name}_mean": curves.mean.mean().item()}
    if "pixel_diversity" in part:
        found["pixel_diversity"] = part["pixel_diversity"].mean().item()
    if len(truth) > 1:
        found["random_3d_frechet"] = frechet_distance(part["proxy_real"], part["proxy_made"])
    if protocol.shapes:
        report = shape_report(part["shape_context"], part["shape_samples"])
        found |= {name: getattr(report, name) for name in ("coverage", "entropy", "all_kept")}
    return found


@torch.no_grad()
def sweep(
    module: VideoModule, windows: WindowSet, num: int, temperatures: list[float], protocol: Protocol, quiet: bool
) -> tuple[list[dict[str, Any]], list[Tensor]]:
    """A row of figures, and one sample of the first video, for every temperature: all from the same noise."""
    from rich.progress import track

    frames = take(windows, range(num))
    context, truth = frames[:, : protocol.given], frames[:, protocol.given :]
    rows, shown = [], []
    for temperature in track(temperatures, "sampling", disable=quiet or not sys.stderr.isatty()):
        generator = generator_for(module, protocol.seed, "sweep")
        settings = (protocol.frames, protocol.samples, temperature, generator, protocol.at_once)
        samples = sample_videos(module, context, *settings)
        rows.append({"temperature": temperature, **figures(context, truth, samples, protocol)})
        shown.append(torch.cat([context[0], samples[0, 0]]))
    return rows, shown


def format_rows(rows: list[dict[str, Any]]) -> str:
    """A line for every temperature, without the dialects of SVG's tables."""
    names = [name for name in rows[0] if not name.startswith(("psnr_per_channel", "ssim_uniform_range2"))]
    widths = [max(len(name), 10) for name in names]
    lines = ["  ".join(name.rjust(width) for name, width in zip(names, widths, strict=True))]
    for values in rows:
        lines.append("  ".join(f"{values[name]:{width}.4f}" for name, width in zip(names, widths, strict=True)))
    return "\n".join(lines)


def write_results(rows: list[dict[str, Any]], shown: list[Tensor], truth: Tensor, given: int, folder: Path) -> None:
    """`report.json`, `sweep.gif` with the truth and samples at some temperatures, `curves.png` of all figures."""
    write_json(folder / "report.json", {"given": given, "rows": rows})
    x = [values["temperature"] for values in rows]
    charts = [(HEADINGS.get(name, name), "temperature", x, curves_of(rows, name)) for name in titles(rows[0])]
    write_curves(folder / "curves.png", charts)
    count = min(SHOWN, len(rows))
    chosen = [round(k * (len(rows) - 1) / max(1, count - 1)) for k in range(count)]
    videos = [truth, *(shown[k] for k in chosen)]
    names = ["truth", *(f"T = {x[k]:g}" for k in chosen)]
    write_gif(
        folder / "sweep.gif", side_by_side(videos, names, [len(truth), *[given] * len(chosen)]), fps_of(len(truth))
    )


def titles(values: dict[str, Any]) -> list[str]:
    """Of the charts: best and mean of a metric are in one."""
    names = [name.removesuffix("_best").removesuffix("_mean") for name in values if name != "temperature"]
    return list(dict.fromkeys(names))


def curves_of(rows: list[dict[str, Any]], name: str) -> dict[str, list[float]]:
    keys = {key: f"{name}_{key}" for key in ("best", "mean")} if f"{name}_best" in rows[0] else {"": name}
    return {label: [values[key] for values in rows] for label, key in keys.items()}


def main(argv: list[str]) -> int:
    """Runs the command; errors are exceptions with a message of one line."""
    parser = make_parser("sweep", __doc__, EXAMPLES, videos=8)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="for report.json, sweep.gif and curves.png")
    add("--temperatures", action=Temperatures, default=TEMPERATURES, help="to try (0.1 to 1.0)")
    add("--frames", type=positive, help="predicted frames (as the model was trained)")
    add("--samples", type=positive, default=16, metavar="N", help="of every video (%(default)s)")
    add("--at_once", type=positive, default=64, help="samples generated together (%(default)s)")
    args = parser.parse_args(argv)
    make_folder(args.out)
    module = load_model(args, args.out / "report.json")
    frames = module.num_frames - module.context_frames if args.frames is None else args.frames
    windows = open_windows(args, module, args.given + frames)
    shapes = isinstance(windows.clips, ShapeClips) and args.start == 0 and args.given <= SHAPE_FRAME
    protocol = Protocol(args.given, frames, args.samples, seed=args.seed, shapes=shapes, at_once=args.at_once)
    rows, shown = sweep(module, windows, args.num, sorted(set(args.temperatures)), protocol, args.quiet)
    write_results(rows, shown, take(windows, [0])[0], args.given, args.out)
    print(f"{args.num} videos, {args.given} frames given, {frames} predicted, {args.samples} samples of each")
    print(format_rows(rows))
    return 0

"""`flowsuite video out-of-sequence`: later frames of a video, scored as if each came right after the context.

A model that has learnt what moves gives a frame fewer bits, the nearer it is to the context.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from flowsuite.core.training.files import make_folder, write_json
from flowsuite.core.training.model_options import positive
from flowsuite.video.curves import write_curves
from flowsuite.video.evaluation import plus_minus
from flowsuite.video.metrics.bits import discrete_log_prob, video_bits_per_dim
from flowsuite.video.module import VideoModule
from flowsuite.video.tools import generator_for, load_model, make_parser, open_windows, take

EXAMPLES = """\
--data video/demo --data_args '{"clip_frames": 5}' --frames 4 --out sequence
--data BAIR --given 3 --frames 10 --num 64 --out sequence"""


@torch.no_grad()
def bits_as_next(module: VideoModule, frames: Tensor, given: int, generator: torch.Generator) -> Tensor:
    """Bits per dimension of frames `given` to T - 1 of (B, T, C, H, W) uint8, each as if it were frame `given`.

    Returns:
        (B, T - given), one draw of noise, the same for the context of all frames.
    """
    x = module.dequantize(frames.to(module.device), generator)
    later = x.shape[1] - given
    context = x[:, None, :given].expand(-1, later, -1, -1, -1, -1)
    clips = torch.cat([context, x[:, given:, None]], 2).flatten(0, 1)
    nats = discrete_log_prob(module.flow.frame_log_prob(clips, given), module.flow.dims)
    return video_bits_per_dim(nats, module.flow.dims).view(-1, later).double().cpu()


def main(argv: list[str]) -> int:
    """Runs the command; errors are exceptions with a message of one line."""
    parser = make_parser("out-of-sequence", __doc__, EXAMPLES, videos=64)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="for report.json and bits.png")
    add("--frames", type=positive, default=10, help="later frames to score (%(default)s)")
    add("--batch_size", type=positive, default=8, help="videos at a time (%(default)s)")
    args = parser.parse_args(argv)
    make_folder(args.out)
    module = load_model(args, args.out / "report.json")
    windows = open_windows(args, module, args.given + args.frames)
    rows = [
        bits_as_next(
            module,
            take(windows, range(first, min(first + args.batch_size, args.num))),
            args.given,
            generator_for(module, args.seed, "sequence", first),
        )
        for first in range(0, args.num, args.batch_size)
    ]
    bits = torch.cat(rows)
    mean = bits.mean(0).tolist()
    error = (bits.std(0) / math.sqrt(len(bits))).tolist() if len(bits) > 1 else [math.nan] * len(mean)
    times = list(range(args.given + 1, args.given + args.frames + 1))
    print(f"{len(bits)} videos, {args.given} frames given; bits/dim of frame t as if it were frame {args.given + 1}")
    for t, value, spread in zip(times, mean, error, strict=True):
        print(f"t = {t:<4}{value:10.4f}{plus_minus(spread)}")
    write_json(
        args.out / "report.json",
        {"videos": len(bits), "given": args.given, "t": times, "bits_per_dim": mean, "error": error},
    )
    title = f"bits/dim as frame {args.given + 1}"
    print(write_curves(args.out / "bits.png", [(title, "t", times, {f"mean of {len(bits)} videos": mean})]))
    return 0

"""`flowsuite video rollout`: continuations far beyond the frames that the model was trained on."""

from __future__ import annotations

from pathlib import Path

import torch

from flowsuite.core.training.files import make_folder, write_npz
from flowsuite.core.training.model_options import positive
from flowsuite.core.training.pictures import write_png
from flowsuite.video.generation import sample_videos
from flowsuite.video.gif import contact_sheet, side_by_side, write_gif
from flowsuite.video.tools import (
    add_temperature,
    generator_for,
    load_model,
    make_parser,
    open_windows,
    take,
)

EXAMPLES = """\
--data video/demo --frames 5 --out rollout
--data BAIR --given 3 --num 2 --samples 4 --temperature 0.5 --out rollout"""
SHEET_FRAMES = 12


def main(argv: list[str]) -> int:
    """Runs the command; errors are exceptions with a message of one line."""
    parser = make_parser("rollout", __doc__, EXAMPLES, videos=1)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="for a GIF, a PNG and a .npz of every video")
    add("--frames", type=positive, default=100, help="to generate (%(default)s)")
    add("--samples", type=positive, default=4, metavar="N", help="of every video (%(default)s)")
    add("--fps", type=float, default=8.0, help="frames per second of the GIFs (%(default)g)")
    add_temperature(parser)
    args = parser.parse_args(argv)
    make_folder(args.out)
    module = load_model(args, args.out / "video_000000.gif")
    windows = open_windows(args, module, args.given)
    for i in range(args.num):
        context = take(windows, [i])
        generator = generator_for(module, args.seed, "rollout", i)
        found = sample_videos(module, context, args.frames, args.samples, args.temperature, generator)[0]
        videos = [torch.cat([context[0], sample]) for sample in found]
        given, name = [args.given] * len(videos), args.out / f"video_{i:06d}"
        titles = [f"sample {k}" for k in range(1, len(videos) + 1)]
        path = write_gif(name.with_suffix(".gif"), side_by_side(videos, titles, given), args.fps)
        write_npz(name.with_suffix(".npz"), samples=torch.stack(videos).numpy(), given=torch.tensor(args.given).numpy())
        length = len(videos[0])
        count = min(SHEET_FRAMES, length)
        shown = [k * (length - 1) // max(1, count - 1) for k in range(count)]
        inside = sum(k < args.given for k in shown)
        write_png(name.with_suffix(".png"), contact_sheet([video[shown] for video in videos], [inside] * len(videos)))
        print(path)
    return 0

"""`flowsuite video interpolate`: from the first frame of a video to its last, in latent space.

Both frames are encoded by themselves, without a past. What is interpolated is the top latent and, at each lower
level, the residual `(z - mu) / sigma` under the prior that sees only the levels above (VideoFlow, arXiv 1903.01434).
Models that were trained on continuations alone never learnt that prior: of those the latents themselves are taken.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from flowsuite.core.training.model_options import positive
from flowsuite.core.training.pictures import write_png
from flowsuite.video.gif import contact_sheet, side_by_side, write_gif
from flowsuite.video.heads import GaussianHead
from flowsuite.video.module import VideoModule
from flowsuite.video.predictions import Gaussian
from flowsuite.video.tools import generator_for, load_model, make_parser, open_windows, take
from flowsuite.video.videoflow import VideoFlow

EXAMPLES = """\
--data video/demo --video 3 --out between
--data BAIR --last 12 --levels top --out arm"""
PARTS = ("all", "top", "bottom")
SPACES = ("residual", "latent")


def own_prior(flow: VideoFlow, level: int, z: Tensor, above: Tensor | None) -> Gaussian:
    """The prior of the latents (N, c, h, w) of frames without a past, given what is above them.

    Raises:
        ValueError: it is a mixture, which has no residuals.
    """
    one = None if above is None else above[:, None]
    (prior,) = flow.priors[level].predict(z[:, None], one, 0)
    if not isinstance(prior, Gaussian):
        raise ValueError("the prior of first frames is a mixture, which has no residuals: choose --space latent")
    return Gaussian(*(field[:, 0] for field in prior))


def to_coordinates(flow: VideoFlow, frames: Tensor, space: str) -> list[Tensor]:
    """Coordinates by level, finest first, of frames (N, C, H, W): the top latent, and residuals or latents below."""
    latents, above, _ = flow.frames.encode_levels(frames)
    if space == "latent":
        return latents
    lower = [own_prior(flow, level, latents[level], above[level]) for level in range(flow.levels - 1)]
    return [prior.standardize(z) for prior, z in zip(lower, latents, strict=False)] + latents[-1:]


def from_coordinates(flow: VideoFlow, coordinates: list[Tensor], space: str) -> Tensor:
    """Frames (N, C, H, W) of coordinates by level."""
    above = flow.frames.invert_level(flow.levels - 1, coordinates[-1], None)
    for level in range(flow.levels - 2, -1, -1):
        z = coordinates[level]
        if space == "residual":
            z = own_prior(flow, level, z, above).draw(z)
        above = flow.frames.invert_level(level, z, above)
    return above


@torch.no_grad()
def interpolate(flow: VideoFlow, first: Tensor, last: Tensor, steps: int, parts: str, space: str) -> Tensor:
    """Frames (steps, C, H, W) on the way between two (C, H, W).

    Args:
        first, last: continuous frames in [-0.5, 0.5).
        steps: ends included.
        parts: what moves: "all" levels, the "top" alone, or all but the top ("bottom"); the rest stays the first's.
        space: "residual" or "latent".
    """
    share = torch.linspace(0, 1, steps, device=first.device, dtype=first.dtype).view(-1, 1, 1, 1)
    way = []
    for level, ends in enumerate(to_coordinates(flow, torch.stack([first, last]), space)):
        moves = parts == "all" or (parts == "top") == (level == flow.levels - 1)
        way.append(torch.lerp(ends[:1], ends[1:], share if moves else torch.zeros_like(share)))
    return from_coordinates(flow, way, space)


def choose_space(module: VideoModule, wanted: str | None) -> str:
    """The space asked for, or "residual" where the prior of first frames was trained and is a Gaussian."""
    if wanted is not None:
        return wanted
    if module.flow.prior == "window":
        return "residual" if module.train_context < module.flow.past else "latent"
    mixture = not all(isinstance(prior.head, GaussianHead) for prior in module.flow.priors)
    return "latent" if module.train_context or mixture else "residual"


def main(argv: list[str]) -> int:
    """Runs the command; errors are exceptions with a message of one line."""
    parser = make_parser("interpolate", __doc__, EXAMPLES, videos=1)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FILE", help="two files are written, FILE.gif and FILE.png")
    add("--video", type=int, default=0, help="number of the video (%(default)s)")
    add("--last", type=positive, help="frame to end at, counted from --start (the model's number of frames - 1)")
    add("--steps", type=positive, default=11, help="frames on the way, ends included (%(default)s)")
    add("--levels", nargs="+", default=list(PARTS), choices=PARTS, help="what moves, a row each (all of these)")
    add("--space", choices=SPACES, help="of the lower levels (residual, where the model has learnt that prior)")
    args = parser.parse_args(argv)
    paths = [args.out.with_suffix(suffix) for suffix in (".gif", ".png")]
    module = load_model(args, *paths)
    last = module.num_frames - 1 if args.last is None else args.last
    frames = take(open_windows(args, module, last + 1), [args.video])[0]
    x = module.dequantize(frames[[0, last]].to(module.device), generator_for(module, args.seed, "interpolate"))
    space = choose_space(module, args.space)
    rows = [module.quantize(interpolate(module.flow, *x, args.steps, parts, space)).cpu() for parts in args.levels]
    write_png(paths[1], contact_sheet(rows, [0] * len(rows)))
    write_gif(paths[0], side_by_side([torch.cat([row, row.flip(0)]) for row in rows], args.levels), 8)
    print(f"{paths[0]}\n{paths[1]}\nrows: {', '.join(args.levels)}; space of the lower levels: {space}")
    return 0

"""`flowsuite images interpolate`: from one image to another in latent space, straight and along the sphere."""

from __future__ import annotations

import torch

from flowsuite.core.training.model_options import positive
from flowsuite.images import latent
from flowsuite.images.inputs import as_context, take
from flowsuite.images.tools import load_flow, load_images, make_parser, save


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser(
        "interpolate", "from one image to another in latent space", "--data a.png b.png --out between.png"
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first image (%(default)s)")
    parser.add_argument("--second", type=int, default=1, help="number of the second image (%(default)s)")
    parser.add_argument("--steps", type=positive, default=9, help="images on the way, ends included (%(default)s)")
    args = parser.parse_args(argv)
    flow = load_flow(args).flow
    x, labels = take(load_images(args, flow), [args.first, args.second])
    x, context = x.to(flow.base.anchor.device), as_context(flow, labels, args.label)
    first, second = flow.encode(x, context)
    paths = [latent.interpolate(first, second, args.steps, spherical) for spherical in (False, True)]
    if context is not None:  # the class changes half-way
        context = context.repeat_interleave(torch.tensor([args.steps - args.steps // 2, args.steps // 2]).to(context))
        context = context.repeat(2)
    save(args.out, flow.decode(torch.cat(paths), context), columns=args.steps)
    print("rows: linear, spherical")
    return 0

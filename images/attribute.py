"""`flowsuite images attribute`: images moved along the direction of an attribute in latent space."""

from __future__ import annotations

import torch

from flowsuite.core.training.model_options import positive
from flowsuite.images import latent, metrics
from flowsuite.images.inputs import as_context, take
from flowsuite.images.tools import load_flow, load_images, make_parser, save

EXAMPLE = """--data CelebA --data_args '{"attribute": "Smiling"}' --out smile.png"""
STRENGTHS = [-1.6, -0.8, 0.0, 0.8, 1.6]


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser("attribute", "move images along mean(eps|label) - mean(eps|other labels)", EXAMPLE)
    parser.add_argument("--positive", type=int, default=1, help="label that has the attribute (%(default)s)")
    parser.add_argument("--num", type=positive, default=4, help="images to change (%(default)s)")
    parser.add_argument(
        "--strengths", type=float, nargs="+", default=STRENGTHS, help="multiples of the direction (-1.6 to 1.6)"
    )
    args = parser.parse_args(argv)
    flow = load_flow(args).flow
    dataset = load_images(args, flow)
    direction = latent.attribute_direction(
        flow, metrics.batches(dataset, args.batch_size, "" if args.quiet else "encoding"), args.positive
    )
    x, labels = take(dataset, list(range(min(args.num, len(dataset)))))
    context = as_context(flow, labels, args.label)
    eps = flow.encode(x.to(direction.device), context)
    strengths = torch.tensor(args.strengths, device=eps.device, dtype=eps.dtype)
    moved = (eps[:, None] + strengths[None, :, None] * direction).flatten(0, 1)
    context = None if context is None else context.repeat_interleave(len(strengths))
    save(args.out, flow.decode(moved, context), columns=len(strengths))
    print(f"columns: strength {', '.join(f'{s:g}' for s in args.strengths)} along label {args.positive}")
    print(f"norm of the direction: {direction.norm():.3f}")
    return 0

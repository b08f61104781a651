"""`flowsuite images sweep`: the same latents at several temperatures."""

from __future__ import annotations

import torch

from flowsuite.core.training.model_options import Temperatures, positive
from flowsuite.images.tools import load_flow, make_parser, save

TEMPERATURES = [0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser("sweep", "the same latents at several temperatures", "--out temperatures.png", data=False)
    parser.add_argument("--num", type=positive, default=8, help="images in a row (%(default)s)")
    parser.add_argument("--temperatures", action=Temperatures, default=TEMPERATURES, help="one row each (0 to 1)")
    args = parser.parse_args(argv)
    module = load_flow(args)
    flow, generator = module.flow, torch.Generator(module.device).manual_seed(args.seed)
    z = flow.base.sample(args.num, 1.0, generator)
    labels = module.labels(args.num, args.label, generator)
    save(args.out, torch.cat([flow.decode(t * z, labels) for t in args.temperatures]), columns=args.num)
    print(f"rows: temperature {', '.join(f'{t:g}' for t in args.temperatures)}")
    return 0

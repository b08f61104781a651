"""`flowsuite pointclouds interpolate`: from one shape to another, through the space of codes."""

from __future__ import annotations

import torch

from flowsuite.core.training.model_options import positive
from flowsuite.pointclouds.render import write_sheet
from flowsuite.pointclouds.tools import in_units, load_model, make_parser, open_clouds, take


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser("interpolate", __doc__, "--data pointclouds/demo --first 0 --second 5 --out between.png")
    add = parser.add_argument
    add("--first", type=int, default=0, help="number of the first cloud (%(default)s)")
    add("--second", type=int, default=1, help="number of the second cloud (%(default)s)")
    add("--steps", type=positive, default=8, help="shapes on the way, ends included (%(default)s)")
    add("--points", type=positive, default=2048, help="points of a shape (%(default)s)")
    add("--space", nargs="+", default=["w"], choices=("w", "z"), help="one row each: standard space w, codes z")
    args = parser.parse_args(argv)
    flow = load_model(args).flow
    dataset = open_clouds(args.data, flow, args.split, args.data_args)
    batch = take(dataset, [args.first, args.second], flow.mean.device)
    rows = []
    for space in args.space:
        generator = torch.Generator(flow.mean.device).manual_seed(args.seed)
        way = flow.interpolate(*batch["points"], args.steps, args.points, space, generator)
        share = torch.linspace(0, 1, args.steps, device=way.device)[:, None, None]
        units = {name: torch.lerp(*batch[name].expand(-1, -1, 3), share) for name in ("mean", "std")}
        rows.append(in_units(way, units))
    print(write_sheet(args.out, torch.cat(rows), columns=args.steps))
    print(f"rows: {', '.join(args.space)}")
    return 0

"""`flowsuite pointclouds reconstruct`: clouds, and new points of the same shapes."""

from __future__ import annotations

import torch

from flowsuite.core.training.model_options import positive
from flowsuite.pointclouds.distances import chamfer
from flowsuite.pointclouds.render import write_sheet
from flowsuite.pointclouds.tools import in_units, load_model, make_parser, open_clouds, take


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser("reconstruct", __doc__, "--data pointclouds/demo --out reconstruction.png")
    parser.add_argument("--num", type=positive, default=8, help="clouds (%(default)s)")
    parser.add_argument("--points", type=positive, help="points of a reconstruction (as many as the cloud has)")
    parser.add_argument("--sample", action="store_true", help="decode a draw from q(z|X), not its mean")
    args = parser.parse_args(argv)
    flow = load_model(args).flow
    dataset = open_clouds(args.data, flow, args.split, args.data_args)
    batch = take(dataset, list(range(min(args.num, len(dataset)))), flow.mean.device)
    found = in_units(flow.reconstruct(batch["points"], args.points, args.sample), batch)
    given = in_units(batch["points"], batch)
    print(write_sheet(args.out, [*given, *found], columns=len(given)))
    reference = in_units(batch["reference"], batch) if "reference" in batch else given
    against = "held-out points of the same shapes" if "reference" in batch else "the clouds themselves"
    print(f"rows: clouds, reconstructions; Chamfer distance to {against}: {chamfer(found, reference).mean():.3e}")
    return 0

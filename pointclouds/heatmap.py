"""`flowsuite pointclouds heatmap`: every point of a cloud coloured by its log-density given the shape's code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from flowsuite.core.training.files import write_npz
from flowsuite.core.training.model_options import positive
from flowsuite.pointclouds.render import write_sheet
from flowsuite.pointclouds.tools import in_units, load_model, make_parser, open_clouds, take


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser("heatmap", __doc__, "--data pointclouds/demo --out heat.png --arrays heat.npz")
    parser.add_argument("--num", type=positive, default=8, help="clouds (%(default)s)")
    parser.add_argument("--arrays", type=Path, metavar="FILE.npz", help="write points and log-densities there too")
    args = parser.parse_args(argv)
    flow = load_model(args).flow
    dataset = open_clouds(args.data, flow, args.split, args.data_args)
    batch = take(dataset, list(range(min(args.num, len(dataset)))), flow.mean.device)
    x = batch["points"]
    density = flow.log_prob_points(x, flow.encode(x)) - batch["std"].expand(-1, -1, 3).log().sum(-1)
    density, points = density.float().cpu(), in_units(x, batch)
    print(write_sheet(args.out, points, values=density))
    if args.arrays:
        write_npz(args.arrays, points=points.numpy(), log_density=density.numpy())
    lowest = np.unravel_index(density.argmin().item(), density.shape)
    print(f"log p(x|z), nats per point in the units of the data: mean {density.mean():.3f}, ", end="")
    print(f"lowest {density.min():.3f} at point {lowest[1]} of cloud {lowest[0]}")
    return 0

"""`flowsuite images vae reconstruct`: images, and what is left of them after the code."""

from __future__ import annotations

import torch

from flowsuite.images.inputs import take
from flowsuite.images.vae.tools import dataset_of, load_vae, make_parser, positive, save


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser("reconstruct", __doc__, "--data images/vae-demo --out reconstruction.png")
    parser.add_argument("--num", type=positive, default=10, help="images (%(default)s)")
    parser.add_argument("--draws", type=positive, default=2, help="codes drawn from q(z|x) of each (%(default)s)")
    args = parser.parse_args(argv)
    flow = load_vae(args)
    dataset = dataset_of(args, flow)
    x = take(dataset, list(range(min(args.num, len(dataset)))))[0].to(flow.device)
    generator = torch.Generator(flow.device).manual_seed(args.seed)
    z = flow.posterior.rsample(args.draws, flow.features(x), generator)
    save(args.out, torch.cat([x, flow.decode(flow.encode(x)), flow.decode(z.flatten(0, 1))]), columns=len(x))
    print(f"rows: images, reconstructions by the code without noise, by {args.draws} draws from the posterior")
    return 0

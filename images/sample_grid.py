"""`flowsuite images sample-grid`: a picture of samples."""

from __future__ import annotations

import torch

from flowsuite.core.training.model_options import positive
from flowsuite.images.tools import load_flow, make_parser, save


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser(
        "sample-grid", "a grid of samples", "--num 100 --temperature 0.8 --out samples.png", data=False
    )
    parser.add_argument("--num", type=positive, default=64, help="samples (%(default)s)")
    parser.add_argument("--temperature", type=float, default=0.7, help="factor on the standard latents (%(default)s)")
    args = parser.parse_args(argv)
    module = load_flow(args)
    generator = torch.Generator(module.device).manual_seed(args.seed)
    samples = []
    for start in range(0, args.num, args.batch_size):
        n = min(args.batch_size, args.num - start)
        samples.append(module.generate(n, args.label, args.temperature, generator))
    save(args.out, torch.cat(samples))
    print(f"{args.num} samples at temperature {args.temperature:g}, seed {args.seed}")
    return 0

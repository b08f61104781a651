"""`flowsuite images reconstruct`: images, decode(encode(images)) and their difference."""

from __future__ import annotations

import torch

from flowsuite.core.training.model_options import positive
from flowsuite.images import metrics
from flowsuite.images.inputs import as_context, take
from flowsuite.images.tools import load_flow, load_images, make_parser, save


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser(
        "reconstruct",
        "input, decode(encode(input)) and their difference",
        "--data photos/ --resize --out reconstruct.png",
    )
    parser.add_argument("--num", type=positive, default=8, help="images (%(default)s)")
    args = parser.parse_args(argv)
    flow = load_flow(args).flow
    dataset = load_images(args, flow)
    x, labels = take(dataset, list(range(min(args.num, len(dataset)))))
    x, context = x.to(flow.base.anchor.device), as_context(flow, labels, args.label)
    shown = flow.dequantize.generate(flow.dequantize.center(x))
    back = flow.decode(flow.encode(x, context), context)
    difference = (back.int() - shown.int()).abs()
    error, wrong = metrics.round_trip_error(flow, x, context)
    save(args.out, torch.cat((shown, back, difference.clamp(0, 255).to(torch.uint8))), columns=len(x))
    print(f"rows: input at {flow.n_bits} bits, decode(encode(input)), difference")
    print(f"max error {error:.3e} of the pixel range 1, {wrong:.2%} of pixels differ")
    return 0

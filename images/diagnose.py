"""`flowsuite images diagnose`: what an image flow makes of a data set, level by level."""

from __future__ import annotations

import torch

from flowsuite.core.objective import bits_per_dim
from flowsuite.core.training.model_options import positive
from flowsuite.images import latent, metrics
from flowsuite.images.inputs import as_context, take
from flowsuite.images.levels import encode_levels, has_levels
from flowsuite.images.tools import load_flow, load_images, make_parser


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser(
        "diagnose", "bits and latents by level, condition of 1x1 convolutions", "--data images/demo", picture=False
    )
    parser.add_argument("--num", type=positive, default=64, help="images (%(default)s)")
    args = parser.parse_args(argv)
    flow = load_flow(args).flow
    dataset = load_images(args, flow)
    x, labels = take(dataset, list(range(min(args.num, len(dataset)))))
    x, context = x.to(flow.base.anchor.device), as_context(flow, labels, args.label)
    torch.manual_seed(args.seed)
    if has_levels(flow):
        nats, latents = encode_levels(flow, x, context)
        bits = bits_per_dim(nats.mean(0), flow.dims).tolist()
    else:
        latents, bits = [flow.encode(x, context)], [flow.bits_per_dim(x, context).mean().item()]
    print(f"{len(x)} images; latents ought to have mean 0, std 1, skew 0, kurtosis 3 (normal base), 0.0455 beyond 2")
    print(f"{'level':<7}{'dims':>8}{f'bits/dim @{flow.n_bits}':>13}{'mean':>9}{'std':>8}{'skew':>8}{'kurt':>9}", end="")
    print(f"{'|z|>2':>9}{'|z|>4':>10}{'max':>8}")
    for i, (eps, share) in enumerate(zip(latents, bits, strict=True), 1):
        m = latent.moments(eps)
        print(f"{i:<7}{eps[0].numel():>8}{share:>13.4f}{m['mean']:>9.3f}{m['std']:>8.3f}{m['skew']:>8.3f}", end="")
        print(f"{m['kurtosis']:>9.2f}{m['beyond_2']:>9.4f}{m['beyond_4']:>10.2e}{m['max']:>8.2f}")
    error, wrong = metrics.round_trip_error(flow, x, context)
    print(f"round trip: max error {error:.2e}, {wrong:.2%} of pixels wrong")
    conditions = latent.conv1x1_conditions(flow)
    for name, condition in conditions.items():
        print(f"condition number {condition:>12.1f}  {name}")
    if conditions:
        worst = max(conditions, key=conditions.get)
        print(f"worst of {len(conditions)} 1x1 convolutions: {conditions[worst]:.1f}, {worst}")
    return 0

"""`flowsuite images evaluate`: bits/dim of a data set, by level; the round-trip error; FID."""

from __future__ import annotations

import json

import torch

from flowsuite.core.training.files import atomic_write
from flowsuite.core.training.model_options import positive
from flowsuite.images import metrics
from flowsuite.images.inputs import as_context, take
from flowsuite.images.tools import load_flow, load_images, make_parser


def main(argv: list[str]) -> int:
    parser = make_parser(
        "evaluate", "bits/dim, by level, round-trip error, FID", "--data images/demo --draws 8", picture=False
    )
    parser.add_argument("--draws", type=positive, default=1, help="dequantisation draws per image (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--fid", metavar="FEATURES.pt", help="network for FID: TorchScript, or weights of Inception-v3")
    parser.add_argument("--fid_samples", type=positive, default=50000, help="images generated for FID (%(default)s)")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the samples for FID (%(default)s)")
    args = parser.parse_args(argv)
    module = load_flow(args)
    flow = module.flow
    dataset = load_images(args, flow)
    bits = metrics.evaluate_bits(flow, dataset, args.draws, args.batch_size, args.seed, progress=not args.quiet)
    images, labels = take(dataset, list(range(min(len(dataset), args.batch_size))))
    device = flow.base.anchor.device
    error, wrong = metrics.round_trip_error(flow, images.to(device), as_context(flow, labels, args.label))
    print(bits.table())
    print(f"{'round trip, max error':<28}{error:9.2e}  ({wrong:.2%} of pixels wrong, {len(images)} images)")
    report = {**bits.as_dict(), "round_trip_error": error, "wrong_pixels": wrong}
    if args.fid:
        generator = torch.Generator(device).manual_seed(args.seed)
        report["fid"] = metrics.frechet_inception_distance(
            dataset,
            lambda n: module.generate(n, temperature=args.temperature, generator=generator),
            args.fid_samples,
            args.fid,
            args.batch_size,
            progress=not args.quiet,
        )
        report |= {"fid_samples": args.fid_samples, "fid_temperature": args.temperature}
        print(f"{'FID':<28}{report['fid']:9.2f}  ({args.fid_samples} samples at temperature {args.temperature})")
    if args.json:
        with atomic_write(args.json) as file:
            file.write((json.dumps(report, indent=2) + "\n").encode())
    return 0
